/** The top of the page: which deployment, how it is, who writes, and how fresh all of it is. */
import { clock, duration } from '../core/format.ts';
import { stateWords } from '../core/moves.ts';
import { attribute, button, chip, h, showChip, text } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';

const tabs = [
  ['overview', 'Overview'],
  ['moves', 'Moves'],
  ['drills', 'Drills'],
  ['losses', 'Losses'],
  ['sql', 'SQL'],
] as const;
export type TabName = (typeof tabs)[number][0];
export const tabNames: readonly TabName[] = tabs.map(([name]) => name);

export interface Header extends View {
  /** Shows which part of the page is open. */
  at(tab: TabName): void;
}

/** @param onToken somebody wants to give another token. */
export function header(onToken: () => void): Header {
  const cluster = h('span', { class: 'cluster' });
  const state = chip();
  const primary = h('span', { class: 'primary' });
  const fresh = chip();
  fresh.id = 'fresh';
  const links = tabs.map(([name, label]) => h('a', { href: `#/${name}`, 'data-tab': name }, label));
  const banner = h('div', { class: 'banner', role: 'alert', hidden: true });
  const reload = h('div', { class: 'banner quiet', role: 'status', hidden: true });
  reload.append(
    'The gateway serves a newer console. ',
    button('Load it', () => window.location.reload()),
  );
  const brand = h('a', { class: 'brand', href: '#/overview', 'aria-label': 'Sextant console' });
  brand.append(h('span', { class: 'mark', 'aria-hidden': 'true' }, '◭'), 'Sextant');
  const tokenButton = button('Token', onToken);
  const element = h(
    'header',
    { class: 'top' },
    h(
      'div',
      { class: 'bar' },
      brand,
      cluster,
      h('span', { class: 'states' }, state, primary),
      h('span', { class: 'spring' }),
      fresh,
      tokenButton,
    ),
    h('nav', { class: 'tabs', 'aria-label': 'Parts of the console' }, ...links),
    banner,
    reload,
  );
  let page: string | null = null;
  return {
    element,
    at(tab) {
      for (const link of links)
        attribute(link, 'aria-current', link.getAttribute('data-tab') === tab ? 'page' : null);
    },
    update({ event, feed, staleForMs }: PageState) {
      text(cluster, event?.status.cluster ?? '');
      attribute(state, 'hidden', event === null);
      if (event !== null) {
        const { status } = event;
        const words = stateWords[status.state];
        const epoch = `epoch ${status.epoch}`;
        if (staleForMs === null) {
          showChip(state, status.state === 'stable' ? 'good' : 'warn', words);
          text(primary, `${status.primary ?? 'no region'} writes · ${epoch}`);
        } else {
          showChip(state, 'quiet', `Was ${words.toLowerCase()}`);
          text(primary, `${status.primary ?? 'no region'} was primary · ${epoch}`);
        }
        if (event.page !== '') page ??= event.page;
        attribute(reload, 'hidden', event.page === '' || event.page === page);
      } else text(primary, '');
      showFresh(fresh, banner, feed, staleForMs);
    },
  };
}

/** G46: a page that hears nothing says so, and since when. */
function showFresh(
  fresh: HTMLElement,
  banner: HTMLElement,
  feed: PageState['feed'],
  staleForMs: PageState['staleForMs'],
): void {
  const { event, link } = feed;
  const why = link.kind === 'lost' || link.kind === 'refused' ? link.reason : 'Nothing has come in.';
  if (event !== null && staleForMs === null)
    showChip(fresh, 'good', `Live · ${event.region}/${event.gateway}`);
  else if (event !== null) showChip(fresh, 'bad', `Stale for ${duration(staleForMs)}`);
  else if (link.kind === 'connecting') showChip(fresh, 'quiet', 'Connecting');
  else showChip(fresh, 'bad', link.kind === 'refused' ? 'No access' : 'No answer');
  const isOld = event !== null && staleForMs !== null;
  attribute(banner, 'hidden', !isOld && (event !== null || link.kind === 'connecting'));
  if (isOld)
    text(banner, `${why} What you see is old: it is as of ${clock(event.atMs)}. The page goes on asking.`);
  else text(banner, why);
}
