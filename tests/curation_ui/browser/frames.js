// Watches the canvas: after every paint, which number the picture says and which the mask says, as a person would read it.
() => {
  const canvas = document.querySelector('canvas[data-frame]');
  const context = canvas.getContext('2d');
  const read = (height, isSet) => {
    let number = 0;
    let led = false;
    const row = context.getImageData(0, Math.round(height * canvas.height), canvas.width, 1).data;
    for (let cell = 0; cell < 9; cell++) {
      const x = 4 * Math.round(((cell + 0.5) * canvas.width) / 10);
      const [red, green, blue] = row.subarray(x, x + 3);
      const set = isSet(red, green, blue);
      if (cell === 0) led = set;
      else number = 2 * number + (set ? 1 : 0);
    }
    return led ? number : null;
  };
  const note = () =>
    paints.push({
      frame: Number(canvas.dataset.frame),
      picture: read(0.25, (red) => red > 128),
      mask: read(0.64, (red, _, blue) => red - blue > 40),
    });
  const paints = (window.paints = []);
  note();
  new MutationObserver(note).observe(canvas, { attributes: true, attributeFilter: ['data-frame'] });
};
