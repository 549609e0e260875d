"""The compiled library: its source in C++, and what loads it. Everything that it computes also exists in PyTorch."""
