// The panel as a widget: what it shows comes from the kernel.

import { render } from "./panel.js";

export default { render };
