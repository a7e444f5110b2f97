"""A vector store of LangChain searches by our vectors, through the folder for sentence-transformers."""

import numpy as np
import pytest

from tests.pipeline.test_export_libraries import vectors_of
from x2static.pipeline.export.formats import export


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_vector_store_finds_the_nearest_text(tmp_path):
    from langchain_core.vectorstores import InMemoryVectorStore
    from langchain_huggingface import HuggingFaceEmbeddings

    vectors = vectors_of("the cat sat on mat river flows past mill stock prices fell again".split())
    export(vectors, "sentence-transformers", tmp_path / "model")
    texts = ["The cat sat on the mat", "The river flows past the mill", "Stock prices fell again"]
    embeddings = HuggingFaceEmbeddings(model_name=str(tmp_path / "model"), model_kwargs={"device": "cpu"})
    store = InMemoryVectorStore.from_texts(texts, embeddings)
    units = [vector / np.linalg.norm(vector) for vector in vectors.encode(texts)]
    for query in ("cat mat", "river mill", "unknownword prices"):
        [(found, score)] = store.similarity_search_with_score(query, k=1)
        cosines = np.array(units) @ vectors.encode(query) / np.linalg.norm(vectors.encode(query))
        assert found.page_content == texts[int(cosines.argmax())]
        assert score == pytest.approx(float(cosines.max()), abs=1e-5)
