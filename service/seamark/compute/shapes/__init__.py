"""The load shapes Seamark knows. To add one: write its file, add its line here."""

from seamark.compute.load_shape import Shape
from seamark.compute.shapes import capacity, constant, stages

SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        capacity.SHAPE,
        constant.SHAPE,
        stages.SHAPE,
    )
}
