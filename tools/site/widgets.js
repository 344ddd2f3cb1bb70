// The anywidgets of a page without a kernel: their own front ends, run on the state that the notebook stored.
// build_docs.py replaces PAGE by {fronts: {class: {esm, css}}, widgets: [{id, front, state, buffers}]}: values of the traits,
// and their binary ones in base64.
const {fronts, widgets} = PAGE;

function model({state, buffers}) {
  for (const name in buffers)
    state[name] = new DataView(Uint8Array.from(atob(buffers[name]), c => c.charCodeAt(0)).buffer);
  const listeners = {};
  return {
    get: name => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      (listeners["change:" + name] || []).forEach(f => f());
    },
    on(event, f) { (listeners[event] ??= []).push(f); },
    off(event, f) { listeners[event] = (listeners[event] || []).filter(g => f && g !== f); },
    save_changes() {},   // nobody listens
    send() {},
  };
}

for (const name in fronts) {
  const {esm, css} = fronts[name];
  document.head.append(Object.assign(document.createElement("style"), {textContent: css}));
  const module = await import(URL.createObjectURL(new Blob([esm], {type: "text/javascript"})));
  let widget = module.default ?? module;
  if (typeof widget === "function") widget = await widget();
  for (const saved of widgets.filter(saved => saved.front === name)) {
    const one = model(saved);
    await widget.initialize?.({model: one});
    await widget.render({model: one, el: document.getElementById(saved.id)});
  }
}
