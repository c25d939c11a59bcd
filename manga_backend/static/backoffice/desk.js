// Keys for whoever decides much, and a page that shows what is new by itself; without it both are missed only.
(function () {
  "use strict";

  var SECONDS = 8;
  var desk = document.querySelector("[data-desk]");
  if (!desk) return;

  function cards() {
    return Array.prototype.slice.call(desk.querySelectorAll(".question"));
  }

  function current() {
    return document.activeElement && document.activeElement.closest(".question");
  }

  function move(step) {
    var all = cards();
    if (!all.length) return;
    var at = all.indexOf(current());
    var next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  // A reload for what is new leaves the keys where they were; the mark serves that one reload.
  var PLACE = "desk-place";

  function keepPlace() {
    var card = current();
    if (card) window.sessionStorage.setItem(PLACE, card.getAttribute("aria-labelledby"));
  }

  function findPlace() {
    var heading = document.getElementById(window.sessionStorage.getItem(PLACE));
    window.sessionStorage.removeItem(PLACE);
    if (heading) heading.closest(".question").focus();
  }

  document.addEventListener("keydown", function (event) {
    var reason = event.target.closest("details.reject");
    if (event.key === "Escape" && reason) {
      current().focus();
      reason.open = false;
      return;
    }
    var field = event.target.closest("input, textarea, select");
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    // By the place of the key: with a Persian or Russian layout the letters are others.
    if (event.code === "KeyJ") move(1);
    else if (event.code === "KeyK") move(-1);
    else if (event.code === "KeyA" && current()) {
      var approve = current().querySelector("button[value=approve]");
      if (approve) approve.click();
    } else if (event.code === "KeyR" && current()) {
      var reject = current().querySelector("details.reject");
      if (!reject) return;
      reject.open = true;
      reject.querySelector("textarea").focus();
    } else return;
    event.preventDefault();
  });

  function isBusy() {
    return document.hidden || desk.querySelector("details[open], form[data-sent]");
  }

  function look() {
    if (isBusy()) {
      later();
      return;
    }
    fetch(desk.dataset.desk, { headers: { Accept: "application/json" }, redirect: "error" })
      .then(function (answer) {
        if (!answer.ok) throw new Error(answer.status);
        return answer.json();
      })
      .then(function (news) {
        if (news.state === desk.dataset.state || isBusy()) return later();
        keepPlace();
        window.location.reload();
      })
      .catch(later);
  }

  function later() {
    window.setTimeout(look, SECONDS * 1000);
  }

  findPlace();
  if (window.fetch) later();
})();
