"""Models with hand-derived gradients, one file each."""

from npoptim.models.base import Model
from npoptim.models.conv import ConvNet
from npoptim.models.factorization import MatrixFactorization
from npoptim.models.linear import LinearRegression, Ridge
from npoptim.models.logistic import LogisticRegression
from npoptim.models.mlp import MLP
from npoptim.models.ngram import trigram_loss
from npoptim.models.softmax import SoftmaxRegression
from npoptim.models.suited import for_data, names
from npoptim.models.transformer import Transformer

__all__ = [
    "MLP",
    "ConvNet",
    "LinearRegression",
    "LogisticRegression",
    "MatrixFactorization",
    "Model",
    "Ridge",
    "SoftmaxRegression",
    "Transformer",
    "for_data",
    "names",
    "trigram_loss",
]
