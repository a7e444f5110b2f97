"""Many trainings from one cache: which settings are best?"""
