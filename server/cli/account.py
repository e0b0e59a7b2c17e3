"""What someone is told who has to sign in first."""

import sys
import webbrowser


def explain(url: str) -> None:
    """Open the address in a browser where there is a person to see it, and print it."""
    print("You need to be signed in to Ollama to run Cloud models.\n")
    if not url:
        return
    if sys.stdout.isatty():
        try:
            webbrowser.open(url)
        except webbrowser.Error:
            pass
    print(f"If your browser did not open, navigate to:\n    {url}\n")
