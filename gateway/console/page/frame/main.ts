/** The console: one page, fed by one stream. What changes by itself comes in events; the rest is asked for when it is opened. */
import type { LiveEvent, Losses } from '../core/api-types.ts';
import { Curves } from '../core/curves.ts';
import { type Feed, type FeedChange, nextFeed, noFeed, staleForMs } from '../core/feed.ts';
import { type Happening, happenings } from '../core/happenings.ts';
import { ask } from '../link/ask.ts';
import { LiveLink } from '../link/live.ts';
import { drills } from '../operate/drills.ts';
import { lossesView } from '../operate/losses.ts';
import { askMove } from '../operate/move-dialog.ts';
import { operations } from '../operate/operations.ts';
import { policyForm } from '../operate/policy.ts';
import { readinessTable } from '../operate/readiness.ts';
import { sqlPane } from '../operate/sql.ts';
import { curveCharts } from '../overview/curves.ts';
import { figures } from '../overview/figures.ts';
import { historyTree } from '../overview/history.ts';
import { map } from '../overview/map.ts';
import { regionCards } from '../overview/regions.ts';
import { attribute, h } from '../view/dom.ts';
import { happeningsLog } from '../view/happenings-log.ts';
import type { PageState, View } from '../view/page-state.ts';
import { header, type TabName, tabNames } from './header.ts';
import { tokenForm } from './token.ts';

const happeningsMax = 100;
/** A page that hears nothing still has to say for how long. */
const staleLookMs = 200;
/** Losses are asked of every region: again now and then, for those that had not looked yet. */
const lossesEveryMs = 10_000;

let feed: Feed = noFeed;
let losses: Losses | null = null;
let log: readonly Happening[] = [];
const curves = new Curves();

const tokens = tokenForm(() => live.restart());
const top = header(() => tokens.open(null));
const moving = operations();
const drilling = drills();
const overview: readonly View[] = [
  figures(),
  map(),
  curveCharts(),
  regionCards(),
  historyTree(),
  happeningsLog('Since you opened this page'),
];
const moves: readonly View[] = [
  readinessTable((kind, target, event) =>
    askMove(kind, target, event, (operation) => moving.follow(operation)),
  ),
  moving,
  policyForm(),
];
const lost = lossesView();
const sql = sqlPane();
const [keyFigures, world, charts, cards, history, sinceOpened] = overview.map(({ element }) => element);
const parts: Readonly<Record<TabName, HTMLElement>> = {
  overview: h(
    'div',
    {},
    keyFigures ?? null,
    h(
      'div',
      { class: 'wide' },
      h('div', {}, world ?? null, cards ?? null, sinceOpened ?? null),
      h('div', {}, charts ?? null, history ?? null),
    ),
  ),
  moves: h('div', {}, ...moves.map(({ element }) => element)),
  drills: drilling.element,
  losses: lost.element,
  sql: sql.element,
};
const main = h('main', { id: 'main', tabindex: -1 }, ...tabNames.map((name) => parts[name]));
document.body.append(h('a', { class: 'skip', href: '#main' }, 'Skip to the content'), top.element, main);
const views: readonly View[] = [top, ...overview, ...moves, drilling, lost, sql];

function show(): void {
  const state: PageState = {
    feed,
    event: feed.event,
    staleForMs: staleForMs(feed, performance.now()),
    curves,
    happenings: log,
    losses,
  };
  attribute(main, 'data-stale', state.staleForMs !== null);
  attribute(main, 'data-empty', state.event === null);
  for (const view of views) view.update(state);
}

/** The part of the page that the address names. */
function route(): void {
  const [, name = '', id = null] = window.location.hash.split('/');
  const open = tabNames.find((tab) => tab === name) ?? 'overview';
  for (const tab of tabNames) attribute(parts[tab], 'hidden', tab !== open);
  top.at(open);
  drilling.at(open === 'drills', id === null ? null : decodeURIComponent(id));
  show();
}

async function lookForLosses(): Promise<void> {
  const answer = await ask<Losses>('/v1/losses');
  if (answer.ok) losses = answer.body;
}

function heard(event: LiveEvent): void {
  const before = feed.event;
  log = [...happenings(before, event).toReversed(), ...log].slice(0, happeningsMax);
  curves.add(event);
  const isNew = before === null || JSON.stringify(before.lossEpochs) !== JSON.stringify(event.lossEpochs);
  if (isNew || before.status.epoch !== event.status.epoch) void lookForLosses();
}

function changed(change: FeedChange): void {
  if (change.kind === 'event') heard(change.event);
  if (change.kind === 'refused') tokens.open(change.reason);
  if (change.kind === 'event' && feed.link.kind !== 'open') tokens.close();
  feed = nextFeed(feed, change);
  window.requestAnimationFrame(show);
}

window.addEventListener('hashchange', route);
window.setInterval(() => {
  if (staleForMs(feed, performance.now()) !== null || feed.event === null) show();
}, staleLookMs);
window.setInterval(() => {
  if (!document.hidden && feed.event !== null) void lookForLosses();
}, lossesEveryMs);
const live = new LiveLink(changed);
route();
