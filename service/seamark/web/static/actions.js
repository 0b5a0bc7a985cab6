// A press of a button with data-post -> one POST to the API; the refusal's own words appear beside the button.
"use strict";
(() => {
  const say = (text) => window.seamark.say(text);

  // A JSON body and a header of our own: another site's page cannot send either without asking this server first.
  const post = (url) => fetch(url, {
    method: "POST", credentials: "same-origin", body: "{}",
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-Seamark-Page": "1" },
  });

  async function told(answer) {
    try {
      const problem = await answer.json();
      return problem.detail || problem.title || `The service answered ${answer.status}.`;
    } catch {
      return `The service answered ${answer.status}.`;
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-post]");
    if (!button || button.disabled || button.dataset.busy) return;
    const error = button.closest("li, section").querySelector(".form-error");
    button.dataset.busy = "1";
    button.setAttribute("aria-disabled", "true");
    error.hidden = true;
    say(button.dataset.doing);
    try {
      const answer = await post(button.dataset.post);
      if (!answer.ok) throw new Error(await told(answer));
      const run = await answer.json();
      if (button.dataset.then === "run") location.assign(`/runs/${encodeURIComponent(run.id)}`);
      else { button.disabled = true; button.textContent = "Stopping…"; }
    } catch (problem) {
      error.textContent = problem instanceof TypeError ? "The service does not answer." : problem.message;
      error.hidden = false;
      delete button.dataset.busy;
      button.removeAttribute("aria-disabled");
    }
  });
})();
