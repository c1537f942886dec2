// The player: its state, its clock, and the controls that set them.

const PLAY = '<svg viewBox="0 0 16 16"><path d="M4 2.5v11l9-5.5z"/></svg>';
const PAUSE = '<svg viewBox="0 0 16 16"><path d="M3.5 2.5h3.2v11H3.5zM9.3 2.5h3.2v11H9.3z"/></svg>';
const NO_FIGURE = "The features of this clip do not tell joint positions, so there is no figure: its tokens and the error of its features are below.";
const NO_MOTION = "These are latents: nothing is decoded, so there is neither a figure nor an error, only the tokens.";
const LOST_TIME = 0.5; // seconds between two pictures after which the page was hidden, and time stood still

class Player {
  constructor(element) {
    this.element = element;
    this.parts = Object.fromEntries(
      ["numbers", "depth", "depth-range", "depth-name", "stage", "figures", "scale", "scale-top", "none", "play", "frame",
        "readout", "speed", "key", "timeline", "tip", "legend", "notes", "under", "lines"]
        .map((name) => [name, element.querySelector(`.${name}`)]));
    this.loop = element.querySelector(".loop input");
    this.timeline = new Timeline(this.parts.timeline, this.parts.tip);
    this.state = { frame: 0, time: 0, playing: false };
    this.listen();
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(element);
    // Out of sight nothing is drawn: a page may hold several players.
    this.seen = true;
    this.watching = new IntersectionObserver((entries) => {
      this.seen = entries[entries.length - 1].isIntersecting;
      this.draw();
    });
    this.watching.observe(element);
  }

  // Called at every run of the page: with the same motion only the theme can have changed.
  show(bytes, tell) {
    this.tell = tell;
    if (headerOf(bytes).header.id !== this.motion?.id) this.open(new Motion(bytes));
    this.draw();
  }

  open(motion) {
    const first = !this.motion;
    this.motion = motion;
    if (first) Object.assign(this.state, motion.view);
    this.camera = new Camera(motion.figure ?? { facing: 0, tall: 1 });
    this.seek(0);
    this.stops = [...Array(motion.layers + 1).keys(), UNQUANTISED];
    this.parts["depth-range"].max = this.stops.length - 1;
    this.parts.frame.max = motion.frames - 1;
    const known = motion.figure !== null;
    this.parts.stage.hidden = !known;
    this.parts.none.hidden = known;
    this.parts.none.textContent = motion.depths.length ? NO_FIGURE : NO_MOTION;
    this.parts.depth.hidden = this.parts.numbers.hidden = !motion.depths.length;
    for (const choice of ["layout", "paint"]) this.choice(choice).hidden = !known;
    this.choice("place").hidden = !motion.figure?.drifts;
    this.showScene(motion.scene);
    this.parts.notes.replaceChildren(...motion.clip.notes.map((note) => withText("li", note)));
    if (!motion.scene) this.timeline.fit(motion);
    this.setDepth(this.state.n);
    this.play(first ? !matchMedia("(prefers-reduced-motion: reduce)").matches : this.state.playing);
  }

  // A scene has figures and a clock, and nothing to choose.
  showScene(scene) {
    const alt = scene ? scene.alt : "Figures of the original and of the reconstruction";
    this.parts.figures.setAttribute("aria-label", `${alt}. Space plays, arrow keys step.`);
    for (const name of ["under", "lines", "legend"]) this.parts[name].hidden = Boolean(scene);
    if (scene) for (const name of ["layout", "paint"]) this.choice(name).hidden = true;
  }

  choice(name) {
    return this.element.querySelector(`[data-choice="${name}"]`);
  }

  listen() {
    const { parts } = this;
    parts.play.addEventListener("click", () => this.play(!this.state.playing));
    for (const button of this.element.querySelectorAll(".step")) {
      button.addEventListener("click", () => this.step(Number(button.dataset.step)));
    }
    parts.frame.addEventListener("input", () => { this.seek(Number(parts.frame.value)); this.draw(); });
    parts["depth-range"].addEventListener("input", () => {
      const depth = this.stops[Number(parts["depth-range"].value)];
      this.setDepth(depth === UNQUANTISED ? "unquantised" : depth === this.motion.layers ? "all" : String(depth));
      this.draw();
    });
    parts["depth-range"].addEventListener("change", () => this.tellView());
    for (const group of this.element.querySelectorAll(".choice")) {
      group.addEventListener("click", (event) => this.choose(group.dataset.choice, event.target.closest("button")));
    }
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.listenToStage(parts.figures);
    this.listenToTimeline(parts.timeline);
  }

  listenToStage(canvas) {
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      held = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      this.camera.turn(event.clientX - held[0], event.clientY - held[1]);
      held = [event.clientX, event.clientY];
      this.draw();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = null; });
    canvas.addEventListener("wheel", (event) => {
      // Until it is clicked, the wheel scrolls the page.
      if (canvas.getRootNode().activeElement !== canvas) return;
      event.preventDefault();
      this.camera.scale(Math.exp(-event.deltaY * 0.0015));
      this.draw();
    }, { passive: false });
    canvas.addEventListener("dblclick", () => { this.camera.home(); this.draw(); });
  }

  listenToTimeline(canvas) {
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.seek(this.timeline.frameAt(this.motion, at(event)[0]));
      this.draw();
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (event.buttons) {
        this.seek(this.timeline.frameAt(this.motion, x));
        this.draw();
      }
      this.timeline.hover(this.motion, this.state, x, y);
    });
    canvas.addEventListener("pointerleave", () => this.timeline.leave());
  }

  onKey(event) {
    // Sliders and lists have keys of their own; a focused button takes the space bar as its click.
    const inside = event.composedPath()[0].tagName;
    if (["INPUT", "SELECT"].includes(inside) || (inside === "BUTTON" && event.key === " ")) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === " ") this.play(!this.state.playing);
    else if (step) this.step(step);
    else return;
    event.preventDefault();
  }

  choose(name, button) {
    if (!button) return;
    this.state[name] = button.dataset.value;
    this.draw();
    this.tellView();
  }

  // n is kept as it is chosen: "all" stays all where another checkpoint has more layers.
  setDepth(n) {
    const { layers, depths } = this.motion;
    this.state.n = n;
    this.state.depth = n === "unquantised" ? UNQUANTISED : n === "all" ? layers : Math.min(Number(n), layers);
    this.parts["depth-range"].value = this.stops.indexOf(this.state.depth);
    if (depths.length) this.parts["depth-name"].textContent = depthName(this.state.depth, layers);
    this.parts["depth-range"].setAttribute("aria-valuetext", depthName(this.state.depth, layers));
  }

  tellView() {
    const { n, layout, paint, place, tokens } = this.state;
    this.tell({ n, layout, paint, place, tokens });
  }

  play(on) {
    const atEnd = this.state.frame === this.motion.frames - 1;
    if (on && atEnd && !this.loop.checked) this.seek(0);
    this.state.playing = on;
    this.last = null;
    this.parts.play.innerHTML = on ? PAUSE : PLAY;
    this.parts.play.setAttribute("aria-label", on ? "Pause" : "Play");
    this.draw();
  }

  step(by) {
    this.play(false);
    this.seek(Math.min(this.motion.frames - 1, Math.max(0, this.state.frame + by)));
    this.draw();
  }

  seek(frame) {
    this.state.frame = frame;
    this.state.time = frame / this.motion.fps;
  }

  // The frame follows from real time, whatever the screen's rate: a slow browser leaves out frames, not time.
  advance(now) {
    const passed = this.last === null ? 0 : (now - this.last) / 1000;
    this.last = now;
    if (passed < LOST_TIME) this.state.time += passed * Number(this.parts.speed.value);
    const duration = this.motion.frames / this.motion.fps;
    if (this.state.time >= duration) {
      if (!this.loop.checked) {
        this.seek(this.motion.frames - 1);
        this.play(false);
        return;
      }
      this.state.time %= duration;
    }
    this.state.frame = Math.min(this.motion.frames - 1, Math.floor(this.state.time * this.motion.fps + 1e-6));
  }

  // Asks for one picture; while it plays, each asks for the next.
  draw() {
    if (!this.seen) return;
    this.waiting ??= requestAnimationFrame((now) => {
      this.waiting = null;
      if (!this.motion || !this.element.isConnected) return;
      if (this.state.playing) this.advance(now);
      this.paint();
      if (this.state.playing) this.draw();
    });
  }

  paint() {
    const { motion, state, parts } = this;
    const theme = themeOf(this.element, motion.colours);
    if (motion.figure) drawStage(parts.figures, motion, state, this.camera, theme);
    if (!motion.scene) this.timeline.draw(motion, state, theme);
    parts.frame.value = state.frame;
    parts.readout.textContent = this.readout();
    parts.frame.setAttribute("aria-valuetext", parts.readout.textContent);
    this.describe(theme);
  }

  readout() {
    const { motion, state } = this;
    const frame = motion.clip.start + state.frame;
    const words = [`frame ${frame + 1} / ${motion.clip.total}`, `${(frame / motion.fps).toFixed(2)} s`];
    if (motion.progress) words.push(`${Math.round(100 * motion.progress[state.frame])} % of the way`);
    if (motion.depths.length) words.push(`error ${shown(motion.frameError(state.depth, state.frame), motion.metric.unit)}`);
    if (motion.figure?.drifts) {
      const [a, b] = [motion.root(0, state.frame), motion.root(motion.motionOf(state.depth), state.frame)];
      words.push(`pelvis ${Math.hypot(...a.map((value, axis) => value - b[axis])).toFixed(2)} m off`);
    }
    return words.join(" · ");
  }

  // Words and keys that change with the choices, not with the frame.
  describe(theme) {
    const { motion, state, parts } = this;
    const key = [motion.id, state.depth, state.layout, state.paint, state.place, state.tokens, theme.background].join();
    if (key === this.described) return;
    this.described = key;
    for (const name of ["layout", "paint", "place", "tokens"]) {
      for (const button of this.choice(name).children) {
        button.setAttribute("aria-pressed", String(button.dataset.value === state[name]));
      }
    }
    if (motion.depths.length) this.describeErrors();
    parts.scale.hidden = state.paint !== "error";
    parts.scale.querySelector("i").style.background = `linear-gradient(to right, ${theme.error.join(",")})`;
    parts["scale-top"].textContent = `${motion.error_top} mm and more, pelvises together`;
    const share = state.tokens === "share";
    const ramp = document.createElement("i");
    ramp.style.background = `linear-gradient(to right, ${theme.share.join(",")})`;
    const [low, high] = motion.share_decades.map((decade) => `${Number((100 * 10 ** decade).toPrecision(1))} %`);
    parts.key.replaceChildren(...(share
      ? [withText("span", `${low} of the layer's tokens`), ramp, withText("span", high)]
      : [withText("span", "the same colour is the same code")]));
  }

  describeErrors() {
    const { motion, state, parts } = this;
    const { name, unit } = motion.metric;
    const value = (depth) => shown(motion.errors[motion.depths.indexOf(depth)], unit);
    const numbers = [[`${name}, ${depthName(state.depth, motion.layers)}`, value(state.depth)]];
    if (state.depth !== motion.layers) numbers.push([`${depthName(motion.layers, motion.layers)}`, value(motion.layers)]);
    if (state.depth !== UNQUANTISED) numbers.push(["unquantised", value(UNQUANTISED)]);
    if (motion.beside && motion.beside.error !== null) numbers.push([`${motion.beside.name}, ${motion.beside.detail}`, shown(motion.beside.error, unit)]);
    parts.numbers.replaceChildren(...numbers.map(([term, number]) => {
      const pair = document.createElement("div");
      pair.append(withText("dt", term), withText("dd", number));
      return pair;
    }));
    parts.legend.textContent = `Error of each frame (${name}${unit === "1" ? "" : `, ${unit}`}) `
      + `with ${depthName(state.depth, motion.layers)}`
      + (state.depth === UNQUANTISED ? "." : "; dashed: unquantised. Layers that the decoder does not get are faded.");
  }

  close() {
    this.resizing.disconnect();
    this.watching.disconnect();
    cancelAnimationFrame(this.waiting);
    this.state.playing = false;
  }
}

function withText(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

const PLAYERS = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const element = parentElement.querySelector(".player");
  if (!PLAYERS.has(element)) PLAYERS.set(element, new Player(element));
  const player = PLAYERS.get(element);
  player.show(data, (view) => setStateValue("view", view));
  return () => {
    player.close();
    PLAYERS.delete(element);
  };
}
