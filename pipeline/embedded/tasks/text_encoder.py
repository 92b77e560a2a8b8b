"""The embedded detector's text encoder: whole words of the practice world's captions, and a small BERT's numbers."""

from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig

from pipeline.embedded.backdrops import KINDS
from pipeline.embedded.captions import PLURALS
from pipeline.embedded.drawing import COLOURS, PATTERNS
from pipeline.embedded.silhouettes import NOUNS
from pipeline.models.grounding_dino.network import SEPARATORS
from pipeline.models.grounding_dino.prompt import MAX_TOKENS

PLURAL = {noun: PLURALS.get(noun, f"{noun}s") for noun in NOUNS}

STRANGERS = tuple(
    """
    apple arm bag balloon banana basket beach bear bed bee bench bicycle bike board book bottle bowl box boy bread
    brick bridge brush bucket bus butterfly button cake camera candle card carpet chair child city clock cloud coat
    coin computer corner cow cube curtain deer desk dish distance door dot dress drink edge elephant fence field
    fire flag floor flower fork forest fox frame frog garden giraffe girl glass glove grass ground guitar hat hill
    ice jacket jar kite kitchen knife ladder lake lamp land letter light lion lizard man map market meadow monkey
    moon mountain mushroom ocean orange paper park path pen pencil people person phone picture pig pillar pillow
    pizza planet plate pole pond pool post rabbit river road robot rock roof room rope rose sand screen sea shadow
    sheep shelf shirt shoe shop shore sign sky snail snake snow spider spoon stair stick stone street stripe sun
    table television tent tiger track train turtle vase view wall watch water wave wolf woman wood world yard zebra
    """.split()  # noqa: SIM905  a list of 170 words is no easier to read one to a line
)
"""Things that captions speak of and the practice world does not have, or only as a place: never to be found.

No other words for what it has ("puppy", "ship") or for parts of it ("wheel"): to be unknown is better than wrong.
"""


def words() -> list[str]:
    """The vocabulary beside the special tokens, in order."""
    return list(dict.fromkeys([*NOUNS, *PLURAL.values(), *never_found()]))


def never_found() -> list[str]:
    """Words for nothing that there is to find: colours and such too, which a caption's reader may take for a noun."""
    places = [word for kind in KINDS.values() for word in kind.place.split()]
    return list(dict.fromkeys([*COLOURS, *PATTERNS, *places, *STRANGERS]))


def write_text_encoder(folder: Path) -> Path:
    """Writes `tokenizer.json` and `config.json` into `folder`, made if missing, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = ("[PAD]", "[UNK]", *SEPARATORS, *words())
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, numbers[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = BertConfig(
        vocab_size=len(numbers),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=MAX_TOKENS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config.save_pretrained(folder)
    return folder
