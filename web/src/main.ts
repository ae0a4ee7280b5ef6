// The page: puts the parts together, feeds them views, and keeps the clocks going.
import 'uplot/dist/uPlot.min.css';
import './style.css';
import './pages.css';
import { setKey, takeKeyFromAddress } from './api';
import { Curves } from './curves';
import { createDetail } from './detail';
import { h } from './dom';
import { createHeader } from './header';
import { createJobs } from './jobs';
import { createJournal } from './journal';
import { createKeyForm, deniedSentence } from './keyform';
import { addressOfPath } from './links';
import { createLoans } from './loans';
import { createMarket } from './market';
import { createModels } from './models';
import { createNav, pageOf, type Page, type PageName } from './pages';
import { createPlan } from './plan';
import { createPlayground } from './playground';
import { createQuotas } from './quotas';
import { createSites } from './sites';
import { createServices } from './services';
import { createSlotMap } from './slotmap';
import { Store } from './store';
import { startTheme } from './theme';

const kClocks_ms = 250;
const kPlots_ms = 1000;

takeKeyFromAddress();
const typed = addressOfPath(location.pathname);
if (typed) history.replaceState(null, '', typed);
startTheme();

const store = new Store();
const curves = new Curves();
const said = h('div', { class: 'sr', 'aria-live': 'polite', id: 'said' });
const announce = (text: string) => (said.textContent = text);

const nav = createNav();
const header = createHeader(store, nav.el, () => {
  setKey('');
  close();
  ask('');
});
const slots = createSlotMap(store);
const loans = createLoans(store, announce);
const services = createServices(store);
const jobs = createJobs(store, curves);
const models = createModels(store);
const quotas = createQuotas();
const sites = createSites();
const journal = createJournal(store);
const playground = createPlayground();
const detail = createDetail(store, curves);
const keyForm = createKeyForm(open);

const left = h('div', { class: 'column' });
const right = h('div', { class: 'column side' });
const main = h('main', { id: 'main', tabindex: '-1', hidden: true }, left, right);
const pages: Record<Exclude<PageName, 'lab'>, Page> = {
  market: createMarket(store),
  plan: createPlan(store),
};
const app = document.getElementById('app')!;
app.append(header.el, keyForm.el, main, pages.market.el, pages.plan.el, detail.el, said);
header.el.hidden = true;

// Shows the page that the address names, once there is a lab to show.
let shown: PageName | null = null;
function showPage(): void {
  const page = store.view && !header.el.hidden ? pageOf(location.hash) : null;
  if (page === shown) return;
  const moved = shown !== null;
  shown = page;
  main.hidden = page !== 'lab';
  for (const [name, p] of Object.entries(pages)) {
    if (name === page) p.show();
    else p.hide();
  }
  if (!page) return;
  nav.show(page);
  if (moved) window.scrollTo(0, 0);
}
window.addEventListener('hashchange', showPage);

// Two columns, or one in the order of importance: the order on screen is the order of the keyboard.
const narrow = matchMedia('(max-width: 1099px)');
function arrange(): void {
  if (narrow.matches) {
    left.append(
      slots.el,
      sites.el,
      loans.el,
      services.el,
      jobs.el,
      quotas.el,
      journal.el,
      models.el,
      playground.el,
    );
  } else {
    left.append(slots.el, sites.el, services.el, jobs.el, quotas.el, models.el);
    right.append(loans.el, journal.el, playground.el);
  }
}
narrow.addEventListener('change', arrange);
arrange();

document.querySelector('.skip')?.addEventListener('click', (event) => {
  event.preventDefault(); // the address after # names a page or a detail
  if (shown === 'market' || shown === 'plan') return pages[shown].el.focus();
  slots.map.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
});

let first = true;
store.subscribe((view) => {
  header.el.hidden = false;
  keyForm.hide();
  showPage();
  if (shown === 'market' || shown === 'plan') pages[shown].update(view);
  header.update(view);
  slots.update(view);
  loans.update(view);
  services.update(view);
  jobs.update(view);
  models.update(view);
  quotas.update(view);
  sites.update(view);
  playground.update(view);
  detail.update(view);
  if (first) {
    first = false;
    journal.firstView();
    detail.follow();
    plots();
  }
  clocks();
});

function clocks(): void {
  if (!store.view) return;
  header.tick();
  slots.tick(store.now_us());
  loans.tick();
}

function plots(): void {
  if (!document.hidden && store.view) services.tick(store.now_us());
}
setInterval(() => {
  if (!document.hidden) clocks();
}, kClocks_ms);
setInterval(plots, kPlots_ms);
document.addEventListener('visibilitychange', plots);

function close(): void {
  store.stop();
  journal.stop();
  header.el.hidden = true;
  showPage();
}

function ask(why: string): void {
  keyForm.show(why);
}

function open(): void {
  header.el.hidden = false;
  store.start((error) => {
    setKey('');
    close();
    ask(deniedSentence(error));
  });
  journal.start();
}

if (keyForm.has()) open();
else ask('');
