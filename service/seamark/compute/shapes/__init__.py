"""The load shapes Seamark knows. To add one: write its file, add its line here."""

from seamark.compute.load_shape import Shape
from seamark.compute.shapes import capacity, constant, replay, soak, spike, stages, users

SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        capacity.SHAPE,
        constant.SHAPE,
        replay.SHAPE,
        soak.SHAPE,
        spike.SHAPE,
        stages.SHAPE,
        users.SHAPE,
    )
}
