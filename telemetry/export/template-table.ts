/** The shapes of a table as templates of spans, each made when it is first asked for. */
import assert from 'node:assert/strict';
import type { SpanShape } from '../trace/span-rows.ts';
import { type SpanTemplate, spanTemplate } from './otlp-messages.ts';

export class TemplateTable {
  private readonly shapes: SpanShape[] = [];
  private readonly roots: (SpanTemplate | undefined)[] = [];
  private readonly children: (SpanTemplate | undefined)[] = [];

  add(shapes: readonly SpanShape[]): void {
    for (const shape of shapes) {
      this.shapes.push(shape);
      this.roots.push(undefined);
      this.children.push(undefined);
    }
  }

  /** @param shape its number in the table. */
  of(shape: number, hasParent: boolean): SpanTemplate {
    const templates = hasParent ? this.children : this.roots;
    return templates[shape] ?? this.make(shape, hasParent, templates);
  }

  private make(number: number, hasParent: boolean, templates: (SpanTemplate | undefined)[]): SpanTemplate {
    const shape = this.shapes[number];
    assert(shape !== undefined, 'T7: a row has a shape of its table');
    const template = spanTemplate(shape, hasParent);
    templates[number] = template;
    return template;
  }
}
