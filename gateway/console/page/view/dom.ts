/**
 * Elements without markup: whatever a region, a row or an error is called arrives as text (G45 forbids the rest). Updates touch only
 * what has changed, so that a focused button stays focused while news comes in several times a second.
 */
export type Child = Node | string | null;
type Attributes = Readonly<Record<string, string | number | boolean | null>>;

function fill(element: Element, attributes: Attributes, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(attributes)) attribute(element, name, value);
  for (const child of children) if (child !== null) element.append(child);
}

/** An element of HTML. An attribute that is false or null is left out, and true is empty. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/** An element of SVG. */
export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  fill(element, attributes, children);
  return element;
}

export function attribute(element: Element, name: string, value: string | number | boolean | null): void {
  if (value === null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

export function text(node: Node, value: string): void {
  if (node.textContent !== value) node.textContent = value;
}

/** Puts exactly these children into an element, those that are there already untouched. */
export function children(parent: Element, wanted: readonly Node[]): void {
  const isSame =
    parent.childNodes.length === wanted.length && wanted.every((node, at) => parent.childNodes[at] === node);
  if (!isSame) parent.replaceChildren(...wanted);
}

/** One element for each thing, made once for its key and updated afterwards. */
export class Keyed<T, E extends Element> {
  readonly #parent: Element;
  readonly #make: (item: T) => E;
  readonly #update: (element: E, item: T) => void;
  readonly #elements = new Map<string, E>();

  constructor(parent: Element, make: (item: T) => E, update: (element: E, item: T) => void) {
    this.#parent = parent;
    this.#make = make;
    this.#update = update;
  }

  show(items: readonly T[], key: (item: T) => string): void {
    const keys = new Set(items.map(key));
    for (const name of this.#elements.keys()) if (!keys.has(name)) this.#elements.delete(name);
    const wanted = items.map((item) => {
      const name = key(item);
      const element = this.#elements.get(name) ?? this.#make(item);
      this.#elements.set(name, element);
      this.#update(element, item);
      return element;
    });
    children(this.#parent, wanted);
  }
}

/** A button that says what it does. */
export function button(
  label: string,
  act: () => void,
  kind: 'plain' | 'main' | 'danger' = 'plain',
): HTMLButtonElement {
  const element = h('button', { type: 'button', class: `button ${kind}` }, label);
  element.addEventListener('click', act);
  return element;
}

/** A part of the page with a heading of its own. */
export function panel(title: string, ...inside: readonly Child[]): HTMLElement {
  const id = `panel-${title.toLowerCase().replaceAll(/[^a-z]+/g, '-')}`;
  return h('section', { class: 'panel', 'aria-labelledby': id }, h('h2', { id }, title), ...inside);
}

/** A word about how something is, with a shape beside the colour. */
export type Tone = 'good' | 'warn' | 'bad' | 'quiet';
const shapes: Readonly<Record<Tone, string>> = { good: '●', warn: '▲', bad: '✕', quiet: '○' };

export function chip(): HTMLElement {
  return h('span', { class: 'chip' }, h('span', { class: 'shape', 'aria-hidden': 'true' }), h('span'));
}

export function showChip(element: HTMLElement, tone: Tone, words: string): void {
  attribute(element, 'data-tone', tone);
  const [shape, label] = element.children;
  if (shape !== undefined) text(shape, shapes[tone]);
  if (label !== undefined) text(label, words);
}
