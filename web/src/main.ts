// The page: puts the parts together, feeds them views, and keeps the clocks going.
import 'uplot/dist/uPlot.min.css';
import './style.css';
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
import { createModels } from './models';
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

const header = createHeader(store, () => {
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
const app = document.getElementById('app')!;
app.append(header.el, keyForm.el, main, detail.el, said);
header.el.hidden = true;

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
  event.preventDefault(); // the address after # names a detail
  slots.map.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
});

let first = true;
store.subscribe((view) => {
  main.hidden = false;
  header.el.hidden = false;
  keyForm.hide();
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
  main.hidden = true;
  header.el.hidden = true;
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
