// Tokens as layers x time, and under them the error over time, with one playhead through both.

const GUTTER = 64, RIGHT = 12, TOP = 6, AXIS = 22, ERRORS = 84, GAP = 18;

class Timeline {
  constructor(canvas, tip) {
    this.canvas = canvas;
    this.tip = tip;
    this.still = document.createElement("canvas"); // all but the playhead, drawn again only when something changes
    this.drawn = "";
  }

  layout(motion) {
    const count = motion.rows.length;
    const row = Math.max(6, Math.min(20, Math.floor(200 / count)));
    const tokens = { y: TOP, height: row * count, row };
    const errors = motion.depths.length ? { y: tokens.y + tokens.height + GAP, height: ERRORS } : null;
    const bottom = errors ? errors.y + errors.height : tokens.y + tokens.height;
    return { tokens, errors, bottom, height: bottom + AXIS };
  }

  fit(motion) {
    this.canvas.style.height = `${this.layout(motion).height}px`;
  }

  x(motion, frame) {
    return GUTTER + ((this.canvas.clientWidth - GUTTER - RIGHT) * frame) / motion.frames;
  }

  frameAt(motion, x) {
    const share = (x - GUTTER) / (this.canvas.clientWidth - GUTTER - RIGHT);
    return Math.min(motion.frames - 1, Math.max(0, Math.floor(share * motion.frames)));
  }

  draw(motion, state, theme) {
    const surface = contextOf(this.canvas);
    if (!surface) return;
    const key = [motion.id, state.depth, state.tokens, theme.background, theme.text, this.canvas.width, this.canvas.height].join();
    if (key !== this.drawn) {
      this.paint(surface.context, motion, state, theme);
      this.still.width = this.canvas.width;
      this.still.height = this.canvas.height;
      this.still.getContext("2d").drawImage(this.canvas, 0, 0);
      this.drawn = key;
    } else {
      surface.context.drawImage(this.still, 0, 0, surface.width, surface.height);
    }
    this.playhead(surface.context, motion, state, theme);
  }

  playhead(context, motion, state, theme) {
    const place = this.layout(motion);
    const x = this.x(motion, state.frame + 0.5);
    context.strokeStyle = theme.text;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, place.bottom);
    context.stroke();
    if (!place.errors) return;
    const error = motion.frameError(state.depth, state.frame);
    context.beginPath();
    context.arc(x, this.errorY(place.errors, error, this.top(motion, state)), 4.5, 0, 2 * Math.PI);
    context.fillStyle = theme.reconstruction;
    context.fill();
    context.strokeStyle = theme.background;
    context.lineWidth = 1.5;
    context.stroke();
  }

  paint(context, motion, state, theme) {
    const place = this.layout(motion);
    context.font = `12px ${theme.font}`;
    context.textBaseline = "middle";
    this.paintTokens(context, motion, state, theme, place.tokens);
    if (place.errors) this.paintErrors(context, motion, state, theme, place.errors);
    this.paintAxis(context, motion, theme, place.bottom);
  }

  paintTokens(context, motion, state, theme, { y, row }) {
    const used = state.depth === UNQUANTISED ? 0 : state.depth;
    const labelled = Math.ceil(13 / row);
    context.textAlign = "right";
    const count = motion.rows.length;
    for (let number = 0; number < count; number++) {
      const { name, layer } = motion.rows[number];
      // Layers that the decoder does not get are faded, and tokens beside those that are selected.
      const alpha = layer <= used || !motion.depths.length ? 1 : 0.25;
      for (let t = 0; t < motion.positions; t++) {
        const at = t * count + number;
        context.globalAlpha = !motion.marked || motion.marked[at] ? alpha : 0.4 * alpha;
        context.fillStyle = state.tokens === "code"
          ? codeColour(motion.tokens[at], theme) : shareColour(motion.shares[at], motion.share_decades, theme);
        const from = this.x(motion, t * motion.clip.stride), to = this.x(motion, (t + 1) * motion.clip.stride);
        const gap = to - from > 4 ? 1 : 0;
        context.fillRect(from, y + number * row, to - from - gap || 1, row - 1);
        if (motion.marked?.[at]) { // a bar on its upper edge, which tells it from a common code on any ground
          context.globalAlpha = 1;
          context.fillStyle = theme.text;
          context.fillRect(from, y + number * row, to - from - gap || 1, Math.min(3, row / 3));
        }
      }
      context.globalAlpha = 1;
      if ((layer - 1) % labelled === 0) {
        context.fillStyle = theme.text;
        context.fillText(layer === 1 ? name : `${layer}`, GUTTER - 8, y + (number + 0.5) * row);
      }
      if (layer === 1 && number > 0) { // where a part ends
        context.fillStyle = theme.text;
        context.fillRect(8, y + number * row - 1, this.canvas.clientWidth - RIGHT - 8, 1);
      }
    }
  }

  // Top of the error's axis: the curves drawn, without quantization too.
  top(motion, state) {
    let top = 0;
    for (const depth of [state.depth, UNQUANTISED]) {
      for (let t = 0; t < motion.frames; t++) top = Math.max(top, motion.frameError(depth, t));
    }
    return roundUp(top);
  }

  errorY({ y, height }, value, top) {
    return y + height - (height * Math.min(value, top)) / top;
  }

  paintErrors(context, motion, state, theme, place) {
    const top = this.top(motion, state);
    context.textAlign = "right";
    context.lineWidth = 1;
    for (const share of [0, 0.5, 1]) {
      const y = place.y + place.height * (1 - share);
      context.strokeStyle = theme.grey;
      context.globalAlpha = 0.35;
      context.beginPath();
      context.moveTo(GUTTER, y);
      context.lineTo(this.canvas.clientWidth - RIGHT, y);
      context.stroke();
      context.globalAlpha = 1;
      context.fillStyle = theme.text;
      const unit = share === 1 && motion.metric.unit !== "1" ? ` ${motion.metric.unit}` : "";
      context.fillText(`${Number((share * top).toPrecision(3))}${unit}`, GUTTER - 8, y);
    }
    if (state.depth !== UNQUANTISED) this.curve(context, motion, UNQUANTISED, theme.grey, [4, 4], place, top);
    this.curve(context, motion, state.depth, theme.reconstruction, [], place, top);
  }

  curve(context, motion, depth, colour, dash, place, top) {
    context.save();
    context.beginPath();
    for (let t = 0; t < motion.frames; t++) {
      context.lineTo(this.x(motion, t + 0.5), this.errorY(place, motion.frameError(depth, t), top));
    }
    context.strokeStyle = colour;
    context.setLineDash(dash);
    context.lineWidth = dash.length ? 1.5 : 2;
    context.lineJoin = "round";
    context.stroke();
    context.restore();
  }

  paintAxis(context, motion, theme, y) {
    const seconds = motion.frames / motion.fps, from = motion.clip.start / motion.fps;
    const room = Math.max(2, (this.canvas.clientWidth - GUTTER - RIGHT) / 70);
    const step = roundUp(seconds / room, [1, 2, 5, 10]);
    context.fillStyle = theme.text;
    context.textAlign = "center";
    for (let tick = Math.ceil(from / step - 1e-6) * step; tick < from + seconds - 1e-6; tick += step) {
      const x = this.x(motion, (tick - from) * motion.fps);
      context.fillRect(x, y, 1, 4);
      context.fillText(`${Number(tick.toFixed(3))} s`, Math.max(x, GUTTER + 8), y + 14);
    }
  }

  hover(motion, state, x, y) {
    const place = this.layout(motion);
    const frame = this.frameAt(motion, x);
    const lines = [`${((motion.clip.start + frame) / motion.fps).toFixed(2)} s, frame ${motion.clip.start + frame + 1}`];
    const number = Math.floor((y - place.tokens.y) / place.tokens.row), count = motion.rows.length;
    if (number >= 0 && number < count) {
      const at = Math.floor(frame / motion.clip.stride) * count + number;
      lines.unshift(`${motion.rows[number].name}: code ${motion.tokens[at]}`);
      lines.push(`${Number((100 * motion.shares[at]).toPrecision(2))} % of this layer's tokens are this code`);
      if (motion.marked?.[at]) lines.push("selected");
    } else if (place.errors && y >= place.errors.y - GAP / 2) {
      lines.push(`${depthName(state.depth, motion.layers)}: ${shown(motion.frameError(state.depth, frame), motion.metric.unit)}`);
    }
    this.tip.textContent = lines.join("\n");
    this.tip.hidden = false;
    const right = this.canvas.clientWidth - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(x + 12, right))}px`;
    this.tip.style.top = `${this.canvas.offsetTop + y + 16}px`;
  }

  leave() {
    this.tip.hidden = true;
  }
}

// On a logarithmic scale between two powers of ten, rare ones dark.
function shareColour(share, [low, high], theme) {
  return onScale(theme.share, share > 0 ? (Math.log10(share) - low) / (high - low) : 0);
}

// Neighbouring numbers get hues far apart (by the golden angle): colour tells the same code again, nothing else.
function codeColour(code, theme) {
  return `hsl(${(code * 137.508) % 360} 55% ${(theme.dark ? 58 : 50) + 8 * ((code * 7) % 3 - 1)}%)`;
}
