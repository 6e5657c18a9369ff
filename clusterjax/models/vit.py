"""Vision transformers: ViT-B/16, ViT-L/16 and a tiny one for small data (Dosovitskiy et al. 2021, arXiv:2010.11929)."""

import jax
import jax.numpy as jnp
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models.attention import attend, pad_tokens
from clusterjax.models.layers import StochasticDepth, apply_block, conv, dense
from clusterjax.models.registry import register_model

_EPSILON = 1e-6  # of the paper's, torchvision's and timm's layer normalisation; PyTorch's default is 1e-5


class EncoderBlock(nnx.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)); the MLP's activation is the exact GELU."""

    def __init__(
        self, width: int, num_heads: int, mlp_width: int, *, dropout: float, drop_path: float, dtype, rngs: nnx.Rngs
    ):
        def linear(num_in, num_out):
            return dense(num_in, num_out, kernel_init=nnx.initializers.xavier_uniform(), dtype=dtype, rngs=rngs)

        self.num_heads = num_heads
        self.norm1 = nnx.LayerNorm(width, epsilon=_EPSILON, dtype=dtype, rngs=rngs)
        self.query_key_value = linear(width, 3 * width)
        self.project = linear(width, width)
        self.norm2 = nnx.LayerNorm(width, epsilon=_EPSILON, dtype=dtype, rngs=rngs)
        self.hidden = linear(width, mlp_width)
        self.output = linear(mlp_width, width)
        self.dropout = nnx.Dropout(dropout)
        self.drop_path = StochasticDepth(drop_path)

    def __call__(self, x, *, rngs: nnx.Rngs | None = None):
        batch, tokens, width = x.shape
        normed = pad_tokens(self.norm1(x))
        qkv = self.query_key_value(normed).reshape(batch, normed.shape[1], 3, self.num_heads, -1)
        attended = attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], num_tokens=tokens)[:, :tokens]
        y = self.dropout(self.project(attended.reshape(batch, tokens, width)), rngs=rngs)
        x = x + self.drop_path(y, rngs=rngs)
        y = jax.nn.gelu(self.hidden(self.norm2(x)), approximate=False)
        y = self.dropout(self.output(self.dropout(y, rngs=rngs)), rngs=rngs)
        return x + self.drop_path(y, rngs=rngs)


class VisionTransformer(nnx.Module):
    """Patches, a class token, position embeddings, ``depth`` encoder blocks; the features are the class token's.

    The position embeddings are those of ``image_size``; an input of another size gets them interpolated, as timm does
    (bicubic, antialiased). Sizes that the patch does not divide are refused.
    """

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        patch_size: int = 16,
        image_size: int = 224,
        width: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        remat: bool = False,
    ):
        self.patch_size, self.image_size = patch_size, image_size
        self._grid(image_size, image_size)
        self.patches = conv(num_bands, width, patch_size, stride=patch_size, dtype=dtype, rngs=rngs)
        side = image_size // patch_size
        normal = nnx.initializers.normal(0.02)
        self.class_token = nnx.Param(jnp.zeros((1, 1, width)))
        self.position = nnx.Param(normal(rngs.params(), (1, 1 + side * side, width), jnp.float32))
        self.dropout = nnx.Dropout(dropout)
        # The rate grows linearly with depth (Huang et al. 2016).
        rates = [drop_path * i / max(1, depth - 1) for i in range(depth)]
        self.blocks = nnx.List(
            [
                EncoderBlock(width, num_heads, 4 * width, dropout=dropout, drop_path=rate, dtype=dtype, rngs=rngs)
                for rate in rates
            ]
        )
        self.norm = nnx.LayerNorm(width, epsilon=_EPSILON, dtype=dtype, rngs=rngs)
        self.num_features = width
        self.dtype = dtype
        self.remat = remat

    def _grid(self, num_y: int, num_x: int) -> tuple[int, int]:
        patch = self.patch_size
        if num_y % patch or num_x % patch or not num_y * num_x:
            raise InputError(
                f"a vision transformer with patch_size={patch} needs a multiple of {patch} px; got {num_y}x{num_x}; "
                f"set config.data.input_size to {max(patch, round(num_y / patch) * patch)}"
            )
        return num_y // patch, num_x // patch

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        grid = self._grid(*image.shape[1:3])
        x = self.patches(image)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        token = jnp.broadcast_to(self.class_token[...], (x.shape[0], 1, x.shape[-1]))
        x = jnp.concatenate([token.astype(x.dtype), x], axis=1)
        x = x + resize_position(self.position[...], grid).astype(x.dtype)
        x = self.dropout(x, rngs=rngs)
        for block in self.blocks:
            x = apply_block(block, x, remat=self.remat, rngs=rngs)
        return self.norm(x)[:, 0]


def resize_position(position, grid: tuple[int, int]):
    """Embeddings (1, 1 + side * side, width), the class token's first, to another grid (num_y, num_x) of patches."""
    side = round((position.shape[1] - 1) ** 0.5)
    if grid == (side, side):
        return position
    patches = position[:, 1:].reshape(1, side, side, -1)
    patches = jax.image.resize(patches, (1, *grid, position.shape[-1]), "cubic", antialias=True)
    return jnp.concatenate([position[:, :1], patches.reshape(1, -1, position.shape[-1])], axis=1)


_OURS = r"backbone.blocks.\1"
TORCHVISION = (
    (r"class_token", "backbone.class_token"),
    (r"encoder\.pos_embedding", "backbone.position"),
    (r"conv_proj", "backbone.patches"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_1", rf"{_OURS}.norm1"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_2", rf"{_OURS}.norm2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_", rf"{_OURS}.query_key_value"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj", rf"{_OURS}.project"),
    # The later name, and that of files saved before torchvision 0.12.
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)", rf"{_OURS}.hidden"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)", rf"{_OURS}.output"),
    (r"encoder\.ln", "backbone.norm"),
    (r"heads\.head", "head.linear"),
)
TIMM = (
    (r"cls_token", "backbone.class_token"),
    (r"pos_embed", "backbone.position"),
    (r"patch_embed\.proj", "backbone.patches"),
    (r"blocks\.(\d+)\.(norm1|norm2)", rf"{_OURS}.\2"),
    (r"blocks\.(\d+)\.attn\.qkv", rf"{_OURS}.query_key_value"),
    (r"blocks\.(\d+)\.attn\.proj", rf"{_OURS}.project"),
    (r"blocks\.(\d+)\.mlp\.fc1", rf"{_OURS}.hidden"),
    (r"blocks\.(\d+)\.mlp\.fc2", rf"{_OURS}.output"),
    (r"norm", "backbone.norm"),
    (r"head", "head.linear"),
)

PAPER = "Dosovitskiy et al. 2021, arXiv:2010.11929"
register_model(
    "vit_b16",
    VisionTransformer,
    first_layer="backbone.patches",
    head_kwargs={"dropout": 0.5},
    paper=PAPER,
    names={"torchvision:vit_b_16": TORCHVISION, "timm:vit_base_patch16_224": TIMM},
)
register_model(
    "vit_l16",
    VisionTransformer,
    first_layer="backbone.patches",
    width=1024,
    depth=24,
    num_heads=16,
    head_kwargs={"dropout": 0.5},
    paper=PAPER,
    names={"torchvision:vit_l_16": TORCHVISION, "timm:vit_large_patch16_224": TIMM},
)
register_model(
    "vit_tiny",
    VisionTransformer,
    first_layer="backbone.patches",
    width=192,
    num_heads=3,
    head_kwargs={"dropout": 0.0},
    paper="Touvron et al. 2021, arXiv:2012.12877",
    names={"timm:vit_tiny_patch16_224": TIMM},
)
