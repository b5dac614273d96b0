/** A card for each region: its role, how far it is, and its six nodes by zone. */
import type { Node, RegionReadiness, RegionStatus } from '../core/api-types.ts';
import { bytes, count, duration } from '../core/format.ts';
import { placeOf } from '../core/places.ts';
import { type QuorumHealth, quorumOf, type Zone, zonesOf } from '../core/zones.ts';
import { attribute, chip, h, Keyed, showChip, type Tone, text } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';

const healthTone: Readonly<Record<QuorumHealth, Tone>> = {
  whole: 'good',
  degraded: 'warn',
  'no-writes': 'bad',
  'no-reads': 'bad',
  unknown: 'quiet',
};

interface Shown {
  readonly region: RegionStatus;
  readonly isPrimary: boolean;
  readonly readiness: RegionReadiness | null;
  /** How old the event is, where that is too old to be now. */
  readonly staleMs: number;
}

const nodeTone = (node: Node, isHeard: boolean): Tone =>
  !isHeard
    ? 'quiet'
    : node.state === 'down'
      ? 'bad'
      : node.state === 'behind' || node.trouble !== undefined
        ? 'warn'
        : 'good';

class RegionCard {
  readonly element: HTMLElement;
  readonly #role = chip();
  readonly #facts: Readonly<Record<'lag' | 'vdl' | 'heard' | 'postgres', HTMLElement>>;
  /** Where PostgreSQL clients connect; hidden where SQLite keeps the databases. */
  readonly #postgres: HTMLElement;
  readonly #quorum = chip();
  readonly #trouble = h('p', { class: 'trouble', hidden: true });
  readonly #zones: Keyed<Zone, HTMLElement>;
  #isHeard = true;

  constructor(name: string) {
    const city = placeOf(name)?.city ?? '';
    const facts = { lag: h('dd'), vdl: h('dd'), heard: h('dd'), postgres: h('dd') };
    this.#postgres = h('div', { hidden: true }, h('dt', {}, 'PostgreSQL'), facts.postgres);
    this.#facts = facts;
    const zones = h('div', { class: 'zones' });
    this.#zones = new Keyed(
      zones,
      (zone): HTMLElement =>
        h('div', { class: 'zone' }, h('h4', { title: zone.name }, `zone ${zone.short}`), h('ul')),
      (element, zone) => this.#showZone(element, zone.nodes),
    );
    this.element = h(
      'article',
      { class: 'panel region', 'aria-label': name },
      h('div', { class: 'region-head' }, h('h3', {}, name), h('span', { class: 'city' }, city), this.#role),
      h(
        'dl',
        { class: 'facts' },
        h('div', {}, h('dt', {}, 'Behind'), facts.lag),
        h('div', {}, h('dt', { title: 'Volume durable LSN' }, 'Durable to'), facts.vdl),
        h('div', {}, h('dt', {}, 'Last word'), facts.heard),
        this.#postgres,
      ),
      zones,
      h('p', { class: 'quorum' }, this.#quorum),
      this.#trouble,
    );
  }

  show({ region, isPrimary, readiness, staleMs }: Shown): void {
    this.#isHeard = region.role !== 'offline';
    attribute(this.element, 'data-role', region.role);
    showChip(this.#role, ...roleWords(region, isPrimary, readiness));
    const lag = isPrimary ? 'itself' : `${duration(region.lagMs)} · ${bytes(region.lagBytes)}`;
    text(this.#facts.lag, lag);
    text(this.#facts.vdl, count(region.vdl));
    const heardMs = region.ageMs === null ? null : region.ageMs + staleMs;
    text(
      this.#facts.heard,
      heardMs === null ? 'never' : heardMs < 1_500 ? 'now' : `${duration(heardMs)} ago`,
    );
    attribute(this.#postgres, 'hidden', typeof region.postgres !== 'string');
    text(this.#facts.postgres, region.postgres ?? '');
    this.#zones.show(zonesOf(region.name, region.nodes), ({ name }) => name);
    const quorum = quorumOf(region);
    showChip(this.#quorum, healthTone[quorum.health], quorum.words);
    const reasons = [region.trouble, ...(readiness?.reasons ?? [])].filter((reason) => reason !== undefined);
    attribute(this.#trouble, 'hidden', reasons.length === 0);
    text(this.#trouble, reasons.join(' · '));
  }

  #showZone(element: HTMLElement, nodes: readonly Node[]): void {
    const list = element.querySelector('ul');
    if (list === null) return;
    while (list.children.length < nodes.length) list.append(h('li', {}, chip()));
    nodes.forEach((node, at) => {
      const pill = list.children[at]?.firstElementChild;
      if (!(pill instanceof HTMLElement)) return;
      const state = this.#isHeard ? node.state : 'not heard';
      showChip(pill, nodeTone(node, this.#isHeard), node.id);
      attribute(pill, 'title', `${node.id} (${node.address}): ${node.trouble ?? state}`);
      attribute(pill, 'aria-label', `${node.id}: ${node.trouble ?? state}`);
    });
  }
}

function roleWords(
  region: RegionStatus,
  isPrimary: boolean,
  readiness: RegionReadiness | null,
): [Tone, string] {
  if (region.role === 'offline') return ['bad', isPrimary ? 'Primary, not heard' : 'Not heard'];
  if (isPrimary) return region.ready ? ['good', 'Primary'] : ['warn', 'Primary, does not write'];
  if (readiness !== null && !readiness.ready) return ['warn', 'Secondary, could not take over'];
  return region.ready ? ['good', 'Secondary, ready'] : ['warn', 'Secondary, behind'];
}

export function regionCards(): View {
  const element = h('div', { class: 'regions' });
  const cards = new Map<HTMLElement, RegionCard>();
  const keyed = new Keyed<Shown, HTMLElement>(
    element,
    ({ region }) => {
      const card = new RegionCard(region.name);
      cards.set(card.element, card);
      return card.element;
    },
    (card, shown) => cards.get(card)?.show(shown),
  );
  return {
    element,
    update({ event, staleForMs }: PageState) {
      if (event === null) return;
      const { regions, primary } = event.status;
      keyed.show(
        regions.map((region) => ({
          region,
          isPrimary: region.name === primary,
          readiness: event.readiness.regions.find((one) => one.region === region.name) ?? null,
          staleMs: staleForMs ?? 0,
        })),
        ({ region }) => region.name,
      );
    },
  };
}
