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
  key: 'weir key create NAME --role client',
};
