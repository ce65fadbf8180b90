// A picture to begin from: chosen, pasted or dropped, shown small, sent with the next prompt.

import { h, icon, toast } from "./dom.js";
import { title } from "./form.js";
import { upload } from "./net.js";
import { number, say } from "./words.js";

const LARGEST = 20 * 2 ** 20;
const USUAL = 0.6;

/** `node` shows the picture, `opener` chooses one; `take()` gives {digest, fields} and forgets it. */
export function attachment({ changed }) {
  let digest = "";
  let bringing = 0;
  let strength = null;

  const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp,image/gif", hidden: true, onchange: () => (bring(file.files[0]), (file.value = "")) });
  const opener = h("button.opener.attach", { type: "button", onclick: () => file.click() });
  const small = h("span.attached-small");
  const words = h("span.attached-words");
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.05, oninput: () => ((strength = Number(slider.value)), tell()) });
  const shown = h("output");
  const label = h("span");
  const away = h("button.unset", { type: "button", onclick: () => forget() }, icon("close"));
  const node = h("div.attached", { hidden: true }, small, words, h("label.attached-strength", {}, label, slider, shown), away, file);

  const tell = () => {
    shown.textContent = number(strength ?? USUAL);
    slider.value = strength ?? USUAL;
  };

  function forget() {
    digest = "";
    bringing += 1; // what is still on its way comes too late
    strength = null;
    node.hidden = true;
    node.classList.remove("busy");
    small.replaceChildren();
    changed();
  }

  async function bring(given) {
    if (!given) return;
    forget();
    if (given.size > LARGEST) return toast(say("error.picture_size"), "refused");
    const mine = bringing;
    node.hidden = false;
    node.classList.add("busy");
    words.textContent = say("box.picture_coming");
    tell();
    changed();
    const image = await look(given);
    if (mine !== bringing) return;
    if (!image) return forget(), toast(say("error.picture_kind"), "refused");
    small.replaceChildren(image);
    try {
      const got = await upload(given);
      if (mine !== bringing) return;
      digest = got;
      node.classList.remove("busy");
      words.textContent = say("box.picture_here");
      changed();
    } catch (error) {
      if (mine !== bringing) return;
      forget();
      toast(say(`error.${error.code ?? "other"}`), "refused");
    }
  }

  /** A thumbnail; nothing of a file that says it is no picture, or that cannot be read as one. */
  async function look(given) {
    if (given.type && !given.type.startsWith("image/")) return null;
    try {
      const bitmap = await createImageBitmap(given, { resizeWidth: 96, resizeQuality: "medium" });
      const canvas = h("canvas", { width: bitmap.width, height: bitmap.height });
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
      return canvas;
    } catch {
      return null;
    }
  }

  const first = (list) => [...(list ?? [])].find((each) => each.type.startsWith("image/"));

  return {
    node,
    opener,
    busy: () => !node.hidden && !digest,
    take: () => {
      const taken = { digest, fields: digest && strength !== null ? { strength } : {} };
      forget();
      return taken;
    },
    pasted: (event) => {
      const given = first(event.clipboardData?.files);
      if (given) event.preventDefault(), bring(given);
    },
    dropped: (box) => {
      for (const kind of ["dragover", "dragleave", "drop"]) {
        box.addEventListener(kind, (event) => {
          if (!event.dataTransfer?.types.includes("Files")) return;
          event.preventDefault();
          box.classList.toggle("dropping", kind === "dragover");
          if (kind === "drop") bring(first(event.dataTransfer.files) ?? event.dataTransfer.files[0]);
        });
      }
    },
    redraw: () => {
      opener.replaceChildren(icon("picture"));
      opener.title = say("box.picture");
      opener.setAttribute("aria-label", opener.title);
      away.setAttribute("aria-label", say("box.picture_away"));
      label.textContent = title("strength");
      if (digest) words.textContent = say("box.picture_here");
      tell();
    },
  };
}
