// An eye that turns about a point, and the colours of the page.

const HOME = { yaw: 0.5, pitch: 0.22, zoom: 1 };
const DISTANCE = 5.5; // metres from the point looked at
const NEAR = 0.3;

class Camera {
  // `tall`: metres that fit the canvas's height.
  constructor({ facing, tall }) {
    this.facing = facing;
    this.tall = tall;
    this.home();
  }

  home() {
    Object.assign(this, HOME);
  }

  turn(dx, dy) {
    this.yaw -= dx * 0.008;
    this.pitch = Math.min(1.5, Math.max(-0.2, this.pitch + dy * 0.006));
  }

  scale(factor) {
    this.zoom = Math.min(6, Math.max(0.3, this.zoom * factor));
  }

  // A function from the world to a rectangle of the canvas: [x, y, pixels a metre, depth], or null behind the eye.
  projection(target, box) {
    // The eye stands where the figure faces, turned by yaw.
    const angle = this.facing + this.yaw;
    const cy = Math.cos(angle), sy = Math.sin(angle), cp = Math.cos(this.pitch), sp = Math.sin(this.pitch);
    const focal = (this.zoom * DISTANCE * Math.min(box.height, 1.25 * box.width)) / this.tall;
    return ([px, py, pz]) => {
      const x = px - target[0], y = py - target[1], z = pz - target[2];
      const right = x * cy - z * sy, ahead = x * sy + z * cy;
      const up = y * cp - ahead * sp, depth = DISTANCE - (ahead * cp + y * sp);
      if (depth < NEAR) return null;
      const size = focal / depth;
      return [box.x + box.width / 2 + right * size, box.y + box.height / 2 - up * size, size, depth];
    };
  }
}

// What the page looks like now: it changes with the theme.
function themeOf(element, colours) {
  const style = getComputedStyle(element);
  const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  const background = of("--st-background-color", "#ffffff");
  const dark = luminance(background) < 0.4;
  return {
    ...colours, ...(dark ? colours.dark : colours.light), dark, background,
    text: of("--st-text-color", "#222222"),
    panel: of("--st-secondary-background-color", "#f0f2f6"),
    font: of("--st-font", "sans-serif"),
  };
}

function luminance(colour) {
  const [r, g, b] = rgb(colour);
  return (0.299 * r + 0.587 * g + 0.114 * b) / 255;
}

function rgb(colour) {
  const numbers = colour.match(/[\d.]+/g);
  if (colour.startsWith("rgb") && numbers) return numbers.slice(0, 3).map(Number);
  const hex = colour.replace("#", "");
  const full = hex.length < 6 ? [...hex].map((digit) => digit + digit).join("") : hex;
  return [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16) || 0);
}

function mixed(a, b, share) {
  const [from, to] = [rgb(a), rgb(b)];
  return `rgb(${from.map((value, i) => Math.round(value + share * (to[i] - value))).join(",")})`;
}

// Colour of a value 0..1 on a scale of colours.
function onScale(scale, value) {
  const place = Math.min(Math.max(value, 0), 1) * (scale.length - 1);
  const low = Math.min(Math.floor(place), scale.length - 2);
  return mixed(scale[low], scale[low + 1], place - low);
}

// A canvas as sharp as the screen; its context in CSS pixels. Null while it is not laid out.
function contextOf(canvas) {
  const width = canvas.clientWidth, height = canvas.clientHeight, ratio = window.devicePixelRatio || 1;
  if (!width || !height) return null;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}
