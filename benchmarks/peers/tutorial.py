"""FastAPI as in its tutorials: a pydantic model for the request body, a tensor, and a list in the response."""

import torch
from fastapi import FastAPI
from pydantic import BaseModel

network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
app = FastAPI()


class Points(BaseModel):
    """The request body."""

    model: str
    points: list[list[float]]


class Answer(BaseModel):
    """The response body."""

    labels: list[str]
    probabilities: list[list[float]]


@app.post("/predict")
def predict(body: Points) -> Answer:
    """Labels and probabilities."""
    with torch.no_grad():
        p = torch.sigmoid(network(torch.tensor(body.points)))[:, 0]
    return Answer(
        labels=["blue" if value > 0.5 else "red" for value in p.tolist()],
        probabilities=[[1 - value, value] for value in p.tolist()],
    )
