if (new URLSearchParams(location.search).has("harness")) void import("./harness");
