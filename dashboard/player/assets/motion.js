// The payload as numbers: header and arrays, and what is computed from them once.

const ARRAY_TYPES = { int16: Int16Array, uint16: Uint16Array, float32: Float32Array };
const UNQUANTISED = -1;

function headerOf(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  return { length, header: JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) };
}

class Motion {
  constructor(bytes) {
    const { length, header } = headerOf(bytes);
    const start = Math.ceil((4 + length) / 8) * 8;
    // A copy: the message's own bytes need not begin where numbers of 4 bytes may.
    const body = bytes.slice(start).buffer;
    for (const [name, { type, shape, at }] of Object.entries(header.arrays)) {
      this[name] = new ARRAY_TYPES[type](body, at, shape.reduce((a, b) => a * b, 1));
    }
    Object.assign(this, header);
    this.frames = header.clip.frames;
    this.fps = header.clip.fps;
    // A scene shows figures alone: it has neither tokens nor errors. Of a set, the part with the most layers counts.
    this.rows = header.rows ?? [];
    this.layers = Math.max(0, ...this.rows.map((row) => row.layer));
    this.positions = header.scene ? 0 : header.arrays.tokens.shape[0];
    this.joint_count = header.figure ? header.figure.names.length : 0;
    this.paths = header.figure ? Array.from({ length: header.arrays.joints.shape[0] }, (_, motion) => this.smoothPath(motion)) : [];
    this.share_decades = header.scene ? [-1, 0] : this.shareDecades();
    this.error_top = header.figure && !header.scene ? this.jointErrorTop() : 1;
  }

  // Motion 0 is the original, the others stand in the order of the depths; that of another checkpoint comes last.
  motionOf(depth) {
    return 1 + this.depths.indexOf(depth);
  }

  besideMotion() {
    return 1 + this.depths.length;
  }

  root(motion, frame) {
    const at = 3 * (motion * this.frames + frame);
    return [this.roots[at], this.roots[at + 1], this.roots[at + 2]];
  }

  // Joints [J][3] in metres, about `root`.
  pose(motion, frame, root) {
    const start = 3 * this.joint_count * (motion * this.frames + frame);
    return Array.from({ length: this.joint_count }, (_, joint) =>
      [0, 1, 2].map((axis) => root[axis] + this.joints[start + 3 * joint + axis] / 1000));
  }

  // Error of every joint in mm, the roots together, as MPJPE has it.
  jointErrors(motion, frame) {
    const size = 3 * this.joint_count;
    const a = size * frame, b = size * (motion * this.frames + frame);
    return Array.from({ length: this.joint_count }, (_, joint) =>
      Math.hypot(...[0, 1, 2].map((axis) => this.joints[a + 3 * joint + axis] - this.joints[b + 3 * joint + axis])));
  }

  frameError(depth, frame) {
    return this.frame_errors[this.depths.indexOf(depth) * this.frames + frame];
  }

  // Where the camera looks: the root's path on the floor, without its swaying (mean over a second).
  smoothPath(motion) {
    const reach = Math.round(this.fps / 2), path = new Float32Array(2 * this.frames);
    for (const [place, axis] of [[0, 0], [1, 2]]) {
      const sums = new Float64Array(this.frames + 1);
      for (let t = 0; t < this.frames; t++) {
        sums[t + 1] = sums[t] + this.roots[3 * (motion * this.frames + t) + axis];
      }
      for (let t = 0; t < this.frames; t++) {
        const from = Math.max(0, t - reach), to = Math.min(this.frames, t + reach + 1);
        path[2 * t + place] = (sums[to] - sums[from]) / (to - from);
      }
    }
    return path;
  }

  // Whole powers of ten around the shares of the tokens shown: [lowest, highest].
  shareDecades() {
    const logs = this.shares.filter((share) => share > 0).map(Math.log10);
    const low = Math.floor(logs.reduce((a, b) => Math.min(a, b), -1));
    const high = Math.ceil(logs.reduce((a, b) => Math.max(a, b), -Infinity));
    return [low, Math.max(high, low + 1)];
  }

  // Top of the scale of joint errors: a round number above 95 % of those with all quantizers.
  jointErrorTop() {
    const motion = this.motionOf(this.layers), all = [];
    const step = Math.max(1, Math.floor(this.frames / 200));
    for (let t = 0; t < this.frames; t += step) all.push(...this.jointErrors(motion, t));
    all.sort((a, b) => a - b);
    return roundUp(Math.max(all[Math.floor(0.95 * (all.length - 1))], 10));
  }
}

// The next of the digits times a power of ten.
function roundUp(value, digits = [1, 2, 4, 6, 8, 10]) {
  if (!(value > 0)) return 1;
  const decade = 10 ** Math.floor(Math.log10(value));
  return decade * digits.find((digit) => digit * decade >= value * 0.9999);
}

function shown(value, unit) {
  if (unit !== "1") return `${value.toFixed(1)} ${unit}`;
  return value === 0 ? "0" : value.toPrecision(3);
}
