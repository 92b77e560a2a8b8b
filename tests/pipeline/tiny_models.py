"""Small models with weights from a seed, saved in the layout that their users' models have."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read as huggingface_hub is imported: a missing file then fails at once

import torch
import transformers as typed_transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoMaskDecoderConfig

transformers: Any = typed_transformers  # some of its classes are typed in part only

WORDS = ["a", "dog", "cat", "bird", "fish", "runs", "sleeps", "jumps", "on", "in", "the", "grass", "water", "house"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} {% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def _tokenizer(*more: str, words: Sequence[str] = ()) -> Any:
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *more, "user", "assistant", *WORDS, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=list(more),
    )


def _seeded(model: Any, scale: float = 0.3) -> Any:
    """All that starts at random drawn from a seed, and wide enough that what a model says depends on what it sees."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 or parameter.unique().numel() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


def save_vit_gpt2(folder: Path) -> None:
    """An encoder-decoder in two parts, as nlpconnect/vit-gpt2-image-captioning: no processor of its own."""
    tokenizer = _tokenizer()
    encoder = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    decoder = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=64,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, decoder_start_token_id=1, pad_token_id=0, eos_token_id=2
    )
    _seeded(transformers.VisionEncoderDecoderModel(config)).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_blip(folder: Path) -> None:
    tokenizer = _tokenizer()
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "encoder_hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 16,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "sep_token_id": 2,
        "pad_token_id": 0,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 16,
    }
    config = transformers.BlipConfig(
        text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16
    )
    _seeded(transformers.BlipForConditionalGeneration(config)).save_pretrained(folder)
    images = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.BlipProcessor(images, tokenizer).save_pretrained(folder)


def save_git(folder: Path, num_frames: int | None) -> None:
    """GIT for videos of `num_frames`, or for images."""
    tokenizer = _tokenizer()
    config = transformers.GitConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        num_image_with_embedding=num_frames,
        vision_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "image_size": 32,
            "patch_size": 16,
        },
    )
    _seeded(transformers.GitForCausalLM(config)).save_pretrained(folder)
    images = transformers.CLIPImageProcessor(size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32})
    transformers.GitProcessor(images, tokenizer).save_pretrained(folder)


VISION_TOKENS = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]


def save_qwen2_vl(folder: Path) -> None:
    """A chat model that sees videos."""
    tokenizer = _tokenizer(*VISION_TOKENS)
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 2, "patch_size": 8}
    config = transformers.Qwen2VLConfig(
        text_config=_qwen_text(len(tokenizer)), vision_config=vision, **_vision_ids(tokenizer)
    )
    _seeded(transformers.Qwen2VLForConditionalGeneration(config)).save_pretrained(folder)
    size = {"shortest_edge": 16 * 16, "longest_edge": 32 * 32 * 16}
    images = transformers.Qwen2VLImageProcessor(patch_size=8, size=size)
    videos = transformers.Qwen2VLVideoProcessor(patch_size=8, size=size)
    transformers.Qwen2VLProcessor(images, tokenizer, videos, chat_template=CHAT).save_pretrained(folder)


def save_qwen3_vl(folder: Path) -> None:
    """A chat model that sees videos and reads when each frame was."""
    seconds = ["<", ".", "seconds", ">", *map(str, range(10))]
    tokenizer = _tokenizer(*VISION_TOKENS, words=seconds)
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_heads": 2,
        "patch_size": 8,
        "out_hidden_size": 16,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    text = _qwen_text(len(tokenizer)) | {"head_dim": 8}
    config = transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **_vision_ids(tokenizer))
    _seeded(transformers.Qwen3VLForConditionalGeneration(config)).save_pretrained(folder)
    size = {"shortest_edge": 16 * 16, "longest_edge": 32 * 32 * 16}
    images = transformers.Qwen2VLImageProcessor(patch_size=8, size=size)
    videos = transformers.Qwen3VLVideoProcessor(patch_size=8, size=size)
    transformers.Qwen3VLProcessor(images, tokenizer, videos, chat_template=CHAT).save_pretrained(folder)


def _qwen_text(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def _vision_ids(tokenizer: Any) -> dict[str, int]:
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()}


def save_llava(folder: Path) -> None:
    """A chat model that sees images only."""
    tokenizer = _tokenizer("<|im_start|>", "<|im_end|>", "<image>")
    config = transformers.LlavaConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 512,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "image_size": 32,
            "patch_size": 16,
            "projection_dim": 16,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    _seeded(transformers.LlavaForConditionalGeneration(config)).save_pretrained(folder)
    images = transformers.CLIPImageProcessor(size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32})
    processor = transformers.LlavaProcessor(
        images,
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    processor.save_pretrained(folder)


def save_sam2(folder: Path, object_score: float = 4.0) -> None:
    """SAM 2 for 64 x 64 pixels, which remembers two frames and objects of three; `object_score` biases it to see."""
    config = transformers.Sam2VideoConfig(
        image_size=64,
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "image_size": [64, 64],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 4, 4, 4],
                "global_attention_blocks": [3],
                "window_positional_embedding_background_size": [4, 4],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 128,
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": 64, "mask_input_channels": 8},
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=128, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=32
        ),
        num_maskmem=3,
        max_object_pointers_in_encoder=4,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_num_layers=1,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
    )
    model = _seeded(transformers.Sam2VideoModel(config))
    score = model.mask_decoder.pred_obj_score_head.proj_out
    score.weight.data.mul_(0.1)
    score.bias.data.fill_(object_score)
    model.save_pretrained(folder)
    size = {"height": 64, "width": 64}
    images = transformers.Sam2ImageProcessor(size=size, mask_size={"height": 16, "width": 16})
    transformers.Sam2VideoProcessor(images, transformers.Sam2VideoVideoProcessor(size=size)).save_pretrained(folder)


BERT_WORDS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
"""Where BERT has the tokens at which the network parts a prompt: it knows them by number."""


def save_grounding_dino(folder: Path) -> None:
    """Grounding DINO of transformers, with few words at high numbers."""
    vocabulary = BERT_WORDS | {word: number for number, word in enumerate(WORDS, start=2000)}
    vocabulary |= {f"[unused{number}]": number for number in range(2100) if number not in vocabulary.values()}
    words = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer()
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    words.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    text = {"model_type": "bert", "vocab_size": len(vocabulary), "hidden_size": 32, "num_hidden_layers": 1}
    image = {
        "model_type": "swin",
        "image_size": 64,
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "window_size": 4,
        "out_indices": [2, 3, 4],
    }
    config = transformers.GroundingDinoConfig(
        backbone_config=image,
        text_config=text | {"num_attention_heads": 2, "intermediate_size": 64},
        d_model=32,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        num_queries=12,
        decoder_n_points=2,
        encoder_n_points=2,
    )
    _seeded(transformers.GroundingDinoForObjectDetection(config), 0.1).save_pretrained(folder)
