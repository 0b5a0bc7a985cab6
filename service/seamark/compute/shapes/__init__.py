"""The load shapes Seamark knows. To add one: write its file, add its line here."""

from seamark.compute.shapes import capacity, constant, stages
from seamark.compute.shapes.shape import Shape

SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        capacity.SHAPE,
        constant.SHAPE,
        stages.SHAPE,
    )
}
