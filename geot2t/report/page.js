"use strict";
document.body.classList.add("ready");

// Tables: a button in each head sorts by the keys of its column; unknown values stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[i].dataset.key;
      const numbers = [...body.rows].map(key).every(k => k === "" || !isNaN(k));
      const compare = (a, b) => {
        if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
        const order = numbers ? key(a) - key(b) : key(a).localeCompare(key(b));
        return up ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}

// Pictures: two layers lie on one another, and the slider says where the upper one begins.
document.querySelectorAll(".swipe").forEach((swipe, number) => {
  const stage = swipe.querySelector(".stage"), view = swipe.querySelector(".view");
  const layers = [...stage.querySelectorAll("figure")];
  const left = swipe.querySelector(".left"), right = swipe.querySelector(".right");
  const slider = swipe.querySelector(".at"), zooms = [...swipe.querySelectorAll("[type=radio]")];
  const image = layers[0].querySelector("img");
  const width = image.getAttribute("width"), height = image.getAttribute("height");

  const name = select => select.selectedOptions[0].textContent;
  const move = () => {
    stage.style.setProperty("--at", slider.value + "%");
    slider.setAttribute("aria-valuetext",
      `${slider.value} % ${name(left)}, ${100 - slider.value} % ${name(right)}`);
  };
  const choose = () => {
    layers.forEach((layer, i) => {
      layer.classList.toggle("on", i == left.value || i == right.value);
      layer.classList.toggle("over", i == right.value);
    });
    move();
  };
  const zoom = factor => {
    stage.style.width = slider.style.width = width * factor + "px";
    stage.style.height = height * factor + "px";
    slider.style.maxWidth = "100%";
  };

  left.value = swipe.dataset.left;
  right.value = swipe.dataset.right;
  const first = zooms.filter(z => width * z.value <= Math.min(view.clientWidth, 800)).pop() || zooms[0];
  for (const one of zooms) {
    one.name = "zoom-" + number;
    one.addEventListener("change", () => zoom(one.value));
  }
  first.checked = true;
  zoom(first.value);
  left.addEventListener("change", choose);
  right.addEventListener("change", choose);
  slider.addEventListener("input", move);
  // A mouse may drag on the picture; fingers scroll it and use the slider.
  const drag = event => {
    if (event.pointerType !== "mouse" || !(event.buttons & 1)) return;
    const box = stage.getBoundingClientRect();
    slider.value = Math.round(100 * (event.clientX - box.left) / box.width);
    move();
    event.preventDefault();
  };
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  stage.addEventListener("dragstart", event => event.preventDefault());
  choose();
});
