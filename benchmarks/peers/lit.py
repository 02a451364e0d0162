"""LitServe as in its first example. Needs `pip install litserve`."""

import argparse
from typing import Any

import litserve
import torch


class Points(litserve.LitAPI):
    """The tutorial's network."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        self.network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))

    def decode_request(self, request: dict[str, Any]) -> torch.Tensor:
        return torch.tensor(request["points"])

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.sigmoid(self.network(x))[:, 0]

    def encode_response(self, output: torch.Tensor) -> dict[str, list[list[float]]]:
        return {"probabilities": [[1 - value, value] for value in output.tolist()]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    server = litserve.LitServer(Points(), accelerator="cpu")
    server.run(port=parser.parse_args().port, log_level="warning", generate_client_file=False)
