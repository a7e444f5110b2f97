"""The commands, a file each. They import a stage only when it is to run, so that training needs no transformers."""
