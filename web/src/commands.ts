// The commands that the page tells people to run, in one place: they must be those of `weir --help`.
export const kCommands = {
  slots: 'weir doctor',
  service: 'weir service create NAME --team product --model MODEL',
  services: 'weir service list',
  job: 'weir job submit --team research --name hello -- echo hello',
  surge: 'weir load --help',
  journal: 'weir journal show',
  models: 'weir model list',
  dataset: 'weir dataset build --help',
  offer: 'weir offer import FILE.csv --lab',
  accept: 'weir offer accept OFFER --lab --site SITE',
  compare: 'weir offer compare --lab --top 100',
  plan: 'weir plan FILE.toml --to-lab',
  key: 'weir key create NAME --role client',
};
