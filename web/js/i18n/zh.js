/** 中文。 @type {Record<string, string>} */
export default {
  "tabs.label": "页面",
  "tabs.playground": "实验台",
  "transport.label": "训练",
  "transport.play": "从头播放训练过程（空格键）",
  "transport.pause": "暂停（空格键）",
  "transport.step": "前进一步（右方向键）",
  "transport.reset": "回到初始权重（Home 键）",
  "share.button": "分享",
  "theme.toggle": "浅色或深色",
  "language.other": "English",
  "drawer.label": "关于这个网络的更多内容",
};
