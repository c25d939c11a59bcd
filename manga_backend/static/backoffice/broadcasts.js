// Keeps the numbers of a running broadcast fresh; without it the page shows those of when it was opened.
(function () {
  "use strict";

  var SECONDS = 2;
  var box = document.querySelector("[data-progress]");
  if (!box || !window.fetch) return;

  function show(news) {
    if (news.state !== box.dataset.state) {
      window.location.reload(); // other buttons
      return;
    }
    box.querySelectorAll("[data-number]").forEach(function (place) {
      place.textContent = news.shown[place.dataset.number];
    });
    box.querySelector("progress").value = news.percent;
    later();
  }

  function ask() {
    if (document.hidden) {
      later();
      return;
    }
    fetch(box.dataset.progress, { headers: { Accept: "application/json" }, redirect: "error" })
      .then(function (answer) {
        if (!answer.ok) throw new Error(answer.status);
        return answer.json();
      })
      .then(show)
      .catch(function () {
        window.setTimeout(ask, 5 * SECONDS * 1000);
      });
  }

  function later() {
    window.setTimeout(ask, SECONDS * 1000);
  }

  later();
})();
