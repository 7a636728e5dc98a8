
"use strict";
const say = document.getElementById("say");
const button = document.getElementById("confirm");
const token = new URLSearchParams(location.search).get("token");
// Neither the history nor whoever looks over a shoulder needs it any longer.
history.replaceState(null, "", location.pathname);
button.addEventListener("click", async () => {
  button.disabled = true;
  try {
    const answer = await fetch(location.pathname, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
    const body = await answer.json();
    say.textContent = body.message || body.error || "Something went wrong. Try again later.";
    if (answer.ok || answer.status === 400 || answer.status === 410) button.hidden = true;
  } catch {
    say.textContent = "The server cannot be reached. Try again.";
  }
  button.disabled = false;
});
