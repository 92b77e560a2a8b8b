"""The rows of the paper's Tab. 5 and 6 as settings of a training."""

from training.evaluation.paper import ABLATIONS

DEFAULT = next(iter(ABLATIONS))
"""The paper's own settings, against which the others are held."""

VARIANTS: dict[str, tuple[str, ...]] = {
    DEFAULT: (),
    "lambda_M = 0": ("model.reference.lambda_m=0",),
    "lambda_M = 0.25": ("model.reference.lambda_m=0.25",),
    "lambda_M = 0.5": ("model.reference.lambda_m=0.5",),
    "lambda_M = 1": ("model.reference.lambda_m=1",),
    "without motion encoder": ("model.motion.encoder=spatial",),
    "lambda_L = 1": ("model.loss.lambda_l=1",),
    "lambda_L = 1.5": ("model.loss.lambda_l=1.5",),
    "lambda_L = 4": ("model.loss.lambda_l=4",),
}
"""By the paper's names: what is laid over the recipe."""

FIRST = (DEFAULT, "lambda_M = 0", "lambda_M = 1", "without motion encoder", "lambda_L = 1")
"""Those that are trained unless others are asked for."""

assert VARIANTS.keys() == ABLATIONS.keys()


def slug(name: str) -> str:
    """A variant's folder."""
    return name.replace(" = ", "-").replace(", ", "-").replace(" ", "-").lower()
