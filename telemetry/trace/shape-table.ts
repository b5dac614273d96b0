/** Shapes by number, so that a row names its shape in two bytes, and whoever reads rows is told each shape once. */
import type { SpanShape } from './span-rows.ts';

/** Beyond it a new table is begun: what clients send makes shapes, and none is forgotten by itself. */
const shapesMax = 2_048;

export class ShapeTable {
  /** By number. Only ever added to. */
  readonly shapes: SpanShape[] = [];
  private readonly numbers = new Map<SpanShape, number>();

  get isFull(): boolean {
    return this.shapes.length >= shapesMax;
  }

  numberOf(shape: SpanShape): number {
    const known = this.numbers.get(shape);
    if (known !== undefined) return known;
    const number = this.shapes.length;
    this.shapes.push(shape);
    this.numbers.set(shape, number);
    return number;
  }
}
