/** English. The keys are those of every language. @type {Record<string, string>} */
export default {
  "tabs.label": "Pages",
  "tabs.playground": "Playground",
  "transport.label": "Training",
  "transport.play": "Play the training from its start (space)",
  "transport.pause": "Pause (space)",
  "transport.step": "One step further (right arrow)",
  "transport.reset": "Back to the first weights (home)",
  "share.button": "Share",
  "theme.toggle": "Light or dark",
  "language.other": "中文",
  "drawer.label": "More about this network",
};
