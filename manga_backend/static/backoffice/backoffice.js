// Small comforts; every page works without them.
(function () {
  "use strict";

  // Ask before what is hard to undo, and send each form once.
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (form.dataset.sent || (form.dataset.confirm && !window.confirm(form.dataset.confirm))) {
      event.preventDefault();
      return;
    }
    // After a download the page stays, and may be asked for another one.
    if (form.method === "post" && !form.querySelector("[data-again]")) form.dataset.sent = "yes";
  });

  // A page that comes back from the browser's memory may send again.
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form[data-sent]").forEach(function (form) {
      delete form.dataset.sent;
    });
  });

  // Open menus close by a click elsewhere and by Escape.
  function closeMenus(except) {
    document.querySelectorAll("details.pop[open]").forEach(function (menu) {
      if (!menu.contains(except)) menu.open = false;
    });
  }
  document.addEventListener("click", function (event) {
    closeMenus(event.target);
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape") closeMenus(null);
  });

  // The clipboard exists only over TLS and on this machine; elsewhere the text is selected.
  document.querySelectorAll("[data-copy]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var source = document.getElementById(button.dataset.copy);
      source.select();
      if (!navigator.clipboard) return;
      navigator.clipboard.writeText(source.value).then(function () {
        button.textContent = button.dataset.done;
      });
    });
  });
})();
