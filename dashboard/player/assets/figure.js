// The figures: bones sorted from far to near, their shadow and a floor of metres.

const BONE = 0.05, THIN = 0.016, HEAD = 0.1; // metres
const STRAY = [0.7, 0.9]; // metres that a root may be off that point, along the floor and up, before the camera follows

function drawStage(canvas, motion, state, camera, theme) {
  const surface = contextOf(canvas);
  if (!surface) return;
  const { context, width, height } = surface;
  const places = placesOf(motion, state, theme).map((figures, i, all) => {
    const share = width / all.length;
    return { x: i * share, y: 0, width: share, height, figures };
  });
  for (const place of places) drawPlace(context, place, motion, state, camera, theme);
  for (const place of places) labelPlace(context, place, theme);
}

// Which figures stand beside each other, and which of them over one another.
function placesOf(motion, state, theme) {
  if (motion.scene) return motion.scene.places.map((actors) => actors.map((actor) => actorOf(actor, motion, state.frame, theme)));
  const figures = figuresOf(motion, state, theme);
  return state.layout === "over" ? [figures.map((figure, i) => ({ ...figure, solid: i ? 0.62 : 1 }))] : figures.map((figure) => [figure]);
}

function actorOf({ motion: number, label, tone }, motion, frame, theme) {
  const marked = motion.marked[number * motion.frames + frame];
  const colour = marked ? theme.reconstruction : tone === "grey" ? mixed(theme.grey, theme.background, 0.35) : theme[tone];
  return {
    motion: number, root: motion.root(number, frame), path: motion.paths[number], colour, mark: colour,
    solid: tone === "grey" ? 0.62 : 1, label: [label], errors: null,
  };
}

// The original, a third figure where there is one (of another checkpoint, or of other codes), and the reconstruction.
function figuresOf(motion, state, theme) {
  const painted = state.paint === "error", together = state.place === "together";
  const own = motion.root(0, state.frame);
  const reconstruction = (number, label, colour) => ({
    motion: number, root: together ? own : motion.root(number, state.frame), path: motion.paths[together ? 0 : number],
    colour, solid: 1, label, mark: painted ? theme.error[theme.error.length - 1] : colour,
    errors: painted ? motion.jointErrors(number, state.frame) : null,
  });
  const colour = painted ? mixed(theme.grey, theme.background, 0.35) : theme.original;
  const original = { motion: 0, root: own, path: motion.paths[0], colour, solid: 1, label: ["Original"], mark: colour };
  const name = motion.beside ? motion.beside.other : "Reconstruction";
  const chosen = reconstruction(motion.motionOf(state.depth), [name, depthName(state.depth, motion.layers)], theme.reconstruction);
  if (!motion.beside) return [original, chosen];
  return [original, reconstruction(motion.besideMotion(), [motion.beside.name, motion.beside.detail], theme.beside), chosen];
}

function drawPlace(context, place, motion, state, camera, theme) {
  const floor = motion.figure.floor;
  const target = targetOf(place.figures[0], state.frame, motion.figure);
  const project = camera.projection(target, place);
  context.save();
  context.beginPath();
  context.rect(place.x, place.y, place.width, place.height);
  context.clip();
  drawFloor(context, project, target, floor, theme);
  const parts = [];
  for (const figure of place.figures) {
    const joints = motion.pose(figure.motion, state.frame, figure.root);
    drawShadow(context, motion, joints, project, floor, theme);
    parts.push(...partsOf(motion, figure, joints, project, theme));
  }
  parts.sort((a, b) => b.depth - a.depth);
  for (const part of parts) part.draw(context);
  context.restore();
}

// The smoothed path at the height of the figure's middle, nearer to the root where that strays.
function targetOf({ path, root: own }, frame, { floor, centre }) {
  const target = [path[2 * frame] + centre[0], floor + centre[1], path[2 * frame + 1] + centre[2]];
  const root = [own[0] + centre[0], own[1], own[2] + centre[2]];
  const [along, up] = [Math.hypot(root[0] - target[0], root[2] - target[2]), Math.abs(root[1] - target[1])];
  const pull = [along, up].map((distance, i) => (distance > STRAY[i] ? 1 - STRAY[i] / distance : 0));
  return target.map((value, axis) => value + pull[axis === 1 ? 1 : 0] * (root[axis] - value));
}

function drawFloor(context, project, target, floor, theme) {
  const reach = 4, step = 0.5;
  const [cx, cz] = [target[0], target[2]];
  const snapped = (value) => Math.round(value / step) * step;
  context.lineWidth = 1;
  for (const along of [0, 1]) {
    const middle = snapped(along ? cx : cz);
    for (let offset = -reach; offset <= reach; offset += step) {
      const line = middle + offset;
      const whole = Math.abs(line - Math.round(line)) < 1e-6;
      const fade = 1 - Math.abs(line - (along ? cx : cz)) / (reach + step);
      // In pieces: each fades with its own distance from the middle.
      for (let piece = -reach; piece < reach; piece += 1) {
        const end = (distance) => (along ? [line, floor, cz + distance] : [cx + distance, floor, line]);
        const [a, b] = [project(end(piece)), project(end(piece + 1))];
        if (!a || !b) continue;
        const away = 1 - Math.min(1, Math.abs(piece + 0.5) / reach);
        context.globalAlpha = Math.max(0, fade * away) * (whole ? 0.55 : 0.28);
        context.strokeStyle = theme.grey;
        context.beginPath();
        context.moveTo(a[0], a[1]);
        context.lineTo(b[0], b[1]);
        context.stroke();
      }
    }
  }
  context.globalAlpha = 1;
}

function drawShadow(context, motion, joints, project, floor, theme) {
  const { parents, drawn } = motion.figure;
  context.strokeStyle = theme.dark ? "#000000" : theme.text;
  context.globalAlpha = theme.dark ? 0.45 : 0.1;
  context.lineCap = "round";
  // One path: where bones overlap the shadow is not darker.
  context.beginPath();
  let size = 0;
  for (const joint of drawn) {
    if (parents[joint] < 0) continue;
    const [a, b] = [parents[joint], joint].map((j) => project([joints[j][0], floor, joints[j][2]]));
    if (!a || !b) continue;
    context.moveTo(a[0], a[1]);
    context.lineTo(b[0], b[1]);
    size = a[2];
  }
  context.lineWidth = Math.max(1, BONE * size);
  context.stroke();
  context.globalAlpha = 1;
}

function partsOf(motion, figure, joints, project, theme) {
  const { parents, drawn, thin, head } = motion.figure;
  const fine = new Set(thin);
  const points = joints.map(project);
  const colour = (joint) => figure.errors
    ? onScale(theme.error, figure.errors[joint] / motion.error_top) : figure.colour;
  const parts = [];
  for (const joint of drawn) {
    const parent = parents[joint];
    if (parent < 0 || !points[joint] || !points[parent]) continue;
    const [a, b] = [points[parent], points[joint]];
    const thickness = Math.max(1.2, (fine.has(joint) ? THIN : BONE) * figure.solid * (a[2] + b[2]) / 2);
    const depth = (a[3] + b[3]) / 2;
    parts.push({ depth, draw: (context) => bone(context, a, b, thickness, colour(parent), colour(joint), theme) });
  }
  if (head !== null && points[head]) {
    const up = direction(joints[parents[head]], joints[head]);
    const middle = project(joints[head].map((value, axis) => value + 0.06 * up[axis]));
    if (middle) {
      const radius = HEAD * (0.4 + 0.6 * figure.solid) * middle[2];
      parts.push({ depth: middle[3], draw: (context) => disc(context, middle, radius, colour(head), theme) });
    }
  }
  return parts;
}

function bone(context, a, b, thickness, from, to, theme) {
  context.beginPath();
  context.moveTo(a[0], a[1]);
  context.lineTo(b[0], b[1]);
  // An edge in the background's colour keeps crossing limbs apart; not round, or it would cut joints.
  context.lineCap = "butt";
  context.strokeStyle = theme.background;
  context.lineWidth = thickness + 2;
  context.stroke();
  if (from === to) {
    context.strokeStyle = to;
  } else {
    const blend = context.createLinearGradient(a[0], a[1], b[0], b[1]);
    blend.addColorStop(0, from);
    blend.addColorStop(1, to);
    context.strokeStyle = blend;
  }
  context.lineCap = "round";
  context.lineWidth = thickness;
  context.stroke();
}

function disc(context, middle, radius, colour, theme) {
  context.beginPath();
  context.arc(middle[0], middle[1], radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = theme.background;
  context.lineWidth = 1.5;
  context.stroke();
}

function direction(from, to) {
  const step = to.map((value, axis) => value - from[axis]);
  const length = Math.hypot(...step) || 1;
  return step.map((value) => value / length);
}

function labelPlace(context, place, theme) {
  context.font = `600 14px ${theme.font}`;
  context.textBaseline = "middle";
  place.figures.forEach(({ label, mark }, row) => {
    const x = place.x + 14, y = 18 + 22 * row;
    context.fillStyle = mark;
    context.beginPath();
    context.arc(x + 5, y, 5, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = theme.text;
    const text = label.join(", ");
    const fits = context.measureText(text).width < place.width - 36;
    context.fillText(fits ? text : shortened(context, label[0], place.width - 36), x + 17, y);
  });
}

// The text, or its beginning and end: the end tells the moment, the beginning the clip.
function shortened(context, text, width) {
  const fits = (some) => context.measureText(some).width <= width;
  if (fits(text)) return text;
  const end = text.match(/ at \S+ s$/)?.[0] ?? "";
  let kept = text.length - end.length;
  while (kept > 1 && !fits(`${text.slice(0, kept)}…${end}`)) kept -= 1;
  return `${text.slice(0, kept)}…${end}`;
}

function depthName(depth, layers) {
  if (depth === UNQUANTISED) return "unquantised";
  return depth === 0 ? `no codes (0 of ${layers})` : `${depth} of ${layers} quantizers`;
}
