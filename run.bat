@echo off
rem What `make run` does, on Windows: sets up .venv beside this file and opens the studio. Options go to `serve`.
setlocal
cd /d "%~dp0"
set PYTHONUTF8=1
set BIN=.venv\Scripts
if not exist "%BIN%\python.exe" (
    py -3 -m venv .venv 2>nul || python -m venv .venv || goto nopython
)
rem Installed anew whenever the list has changed
fc /b requirements.txt .venv\installed.txt >nul 2>nul && goto start
"%BIN%\python" -m pip install --disable-pip-version-check -r requirements.txt || goto failed
copy /y requirements.txt .venv\installed.txt >nul
:start
"%BIN%\python" -m hypersd_app serve %*
exit /b %errorlevel%
:nopython
echo Python 3.11 or newer is needed: https://www.python.org/downloads/
exit /b 1
:failed
echo The packages could not be installed; the lines above say why.
exit /b 1
