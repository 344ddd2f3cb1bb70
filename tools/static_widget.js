// An anywidget on a page without a kernel: its own front end, run on the state that the notebook stored.
// build_docs.py replaces SAVED by {id, esm, state, buffers}: values of the traits, and their binary ones in base64.
const {id, esm, state, buffers} = SAVED;
for (const name in buffers)
  state[name] = new DataView(Uint8Array.from(atob(buffers[name]), c => c.charCodeAt(0)).buffer);

const listeners = {};
const model = {
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

const module = await import(URL.createObjectURL(new Blob([esm], {type: "text/javascript"})));
let widget = module.default ?? module;
if (typeof widget === "function") widget = await widget();
await widget.initialize?.({model});
await widget.render({model, el: document.getElementById(id)});
