// Plays a video with the keypoints of the shown frame over it; what the browser can't play comes as pictures.
"use strict";

const film = document.getElementById("film");

if (film) {
  const { video: name, pose, place, colors } = film.dataset;
  const [block, rate] = [Number(film.dataset.block), Number(film.dataset.rate)];
  let frames = Number(film.dataset.frames);
  const palette = colors.split(" ");
  const [video, picture, canvas] = ["video", "img", "canvas"].map((tag) => film.querySelector(tag));
  const [slider, output, status] = ["input", "output", "[role=status]"].map((rule) => film.querySelector(rule));
  const blocks = new Map();
  let frame = 0, playable = film.dataset.playable === "yes", asked = 0;

  async function ask(part, values) {
    const query = new URLSearchParams({ video: name, ...values });
    const answer = await fetch(`${place}/part/${part}?${query}`, { credentials: "same-origin" });
    if (!answer.ok) throw new Error("The file can't be read, or has no such frame.");
    return answer.json();
  }

  function readBlock(index) {
    if (!blocks.has(index)) blocks.set(index, ask("keypoints", { pose, first: index * block }));
    return blocks.get(index);
  }

  async function draw() {
    const shown = playable ? video : picture;
    const [width, height] = playable ? [video.videoWidth, video.videoHeight] : [picture.naturalWidth, picture.naturalHeight];
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    const now = frame;
    const part = pose ? await readBlock(Math.floor(now / block)) : null;
    if (now !== frame) return; // another frame is shown meanwhile
    if (!shown.style.width) shown.style.width = `${width * Math.max(1, Math.floor(640 / width))}px`; // small ones, enlarged
    canvas.width = Math.round(shown.clientWidth * scale);
    canvas.height = Math.round(shown.clientHeight * scale);
    const context = canvas.getContext("2d");
    const [toX, toY] = [canvas.width / width, canvas.height / height];
    const time = part?.times[now - part.first];
    output.textContent = `frame ${now}` + (time == null ? "" : `, ${time.toFixed(3)} s`);
    const places = [];
    (part?.points[now - part.first] ?? []).forEach((point, index) => {
      if (!point || point[0] === null || point[1] === null) return;
      const [x, y] = [(point[0] + 0.5) * toX, (point[1] + 0.5) * toY]; // (0, 0) is the middle of the first pixel
      context.beginPath();
      context.arc(x, y, 4 * scale, 0, 2 * Math.PI);
      context.lineWidth = 1.5 * scale;
      context.strokeStyle = context.fillStyle = palette[index % palette.length];
      if (point[2] !== null && point[2] >= 0.9) context.fill();
      context.stroke();
      places.push([x / scale, y / scale]);
    });
    film.dataset.drawn = JSON.stringify({ frame: now, places });
  }

  function report(error) { status.textContent = error.message; }

  function show(number) {
    frame = number;
    slider.value = number;
    draw().catch(report);
  }

  async function showPicture(number) {
    const mine = ++asked;
    const answer = await ask("frame", { frame: number });
    if (mine !== asked) return;
    picture.src = answer.picture;
    await picture.decode();
    show(number);
  }

  function usePictures() {
    playable = false;
    video?.remove();
    picture.hidden = false;
    if (film.dataset.playable) status.textContent = "The browser can't play this video: its frames are shown one by one.";
    showPicture(frame).catch(report);
  }

  // The frame that shows a moment of the video: by the number of its frames, else by the rate that the file says.
  function findFrame(seconds) {
    const perSecond = frames && Number.isFinite(video.duration) ? frames / video.duration : rate;
    return Math.max(0, Math.min(frames ? frames - 1 : Infinity, Math.round(seconds * perSecond)));
  }

  slider.addEventListener("input", () => {
    const number = Number(slider.value);
    if (!playable) showPicture(number).catch(report);
    else video.currentTime = Math.min(video.duration, (number + 0.5) * (frames ? video.duration / frames : 1 / rate)); // its middle
  });
  new ResizeObserver(() => draw().catch(report)).observe(film);
  if (playable) {
    const follow = (_, about) => { show(findFrame(about.mediaTime)); video.requestVideoFrameCallback(follow); };
    video.requestVideoFrameCallback(follow);
    video.addEventListener("loadedmetadata", () => {
      if (!frames) { frames = Math.round(video.duration * rate); slider.max = Math.max(0, frames - 1); }
      if (!video.videoWidth) usePictures();
    });
    video.addEventListener("error", usePictures, { once: true });
    video.src = `${place}/media?${new URLSearchParams({ video: name })}`;
  } else usePictures();
}
