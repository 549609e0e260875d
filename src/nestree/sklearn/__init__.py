"""A scikit-learn classifier of texts (extra ``nestree[sklearn]``).

>>> from nestree.sklearn import TreeClassifier
>>> model = TreeClassifier(epochs=5, random_state=0).fit(texts, labels)
>>> model.predict(["an undemanding film, and a joy"])
"""

from nestree.sklearn.classifier import TreeClassifier

__all__ = ["TreeClassifier"]
