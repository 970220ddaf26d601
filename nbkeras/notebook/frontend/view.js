// The panel as a widget: what it shows comes from the kernel.

import { stay } from "./ended.js";
import { render } from "./panel.js";

const TRAITS = ["words", "state", "points"];

export default {
  render({ model, el }) {
    const close = render({ model, el });
    return () => {
      close();
      const { phase, place } = model.get("state");
      if (phase === "done") stay(place, Object.fromEntries(TRAITS.map((name) => [name, model.get(name)])));
    };
  },
};
