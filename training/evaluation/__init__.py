"""Generated videos, their prompts, subjects and boxes to the paper's nine metrics and its tables."""
