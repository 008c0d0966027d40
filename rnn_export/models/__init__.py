"""Recurrent nets written from scratch, as a plain loop over time: what this package is made to export."""

from rnn_export.models.char import CharRNN
from rnn_export.models.gru import GRUScratch
from rnn_export.models.lstm import LSTMScratch
from rnn_export.models.rnn import RNNScratch
from rnn_export.models.stack import BidirectionalScratch, DeepRNNScratch

__all__ = ["BidirectionalScratch", "CharRNN", "DeepRNNScratch", "GRUScratch", "LSTMScratch", "RNNScratch"]
