<#
.SYNOPSIS
A smoke test with Invoke-RestMethod: health, sign up, create, track, stop, read the score, delete.

.DESCRIPTION
Needs the `focusup` command for the socket: from PATH, the repository's .venv, or wherever
$env:FOCUSUP says. Ends with status 1 at the first step that fails. Runs in Windows
PowerShell 5.1 and PowerShell 7; smoke.sh makes the same calls.

.EXAMPLE
scripts\smoke.ps1 -Url http://127.0.0.1:5000 -Seconds 5
#>
param(
    [string]$Url = $env:FOCUSUP_URL,
    [int]$Seconds = 5
)
$ErrorActionPreference = 'Stop'
if (-not $Url) { $Url = 'http://127.0.0.1:5000' }
$Url = $Url.TrimEnd('/')

$FocusUp = $env:FOCUSUP
if (-not $FocusUp) {
    $FocusUp = 'focusup'
    if (-not (Get-Command $FocusUp -ErrorAction SilentlyContinue)) {
        $FocusUp = Join-Path (Split-Path $PSScriptRoot) '.venv\Scripts\focusup.exe'
    }
}

function Write-Pass([string]$Step, [string]$Note) {
    Write-Host ('pass  {0,-12} {1}' -f $Step, $Note)
}

$step = 'health'
try {
    $null = Invoke-RestMethod -Method GET -Uri "$Url/api/health"
    Write-Pass $step $Url

    $step = 'sign up'
    $unique = [guid]::NewGuid().ToString('N')
    $email = "smoke-$unique@example.com"
    $body = @{ email = $email; password = "smoke-$unique" } | ConvertTo-Json
    $account = Invoke-RestMethod -Method POST -Uri "$Url/api/auth/signup" -Body $body -ContentType 'application/json'
    $headers = @{ Authorization = "Bearer $($account.accessToken)" }
    Write-Pass $step $email

    $step = 'create'
    $body = @{ targetMinutes = 0.1; title = 'Smoke test' } | ConvertTo-Json
    $created = Invoke-RestMethod -Method POST -Uri "$Url/api/sessions" -Headers $headers -Body $body -ContentType 'application/json'
    $id = $created.session._id
    Write-Pass $step $id

    $step = 'track'
    $env:FOCUSUP_TOKEN = $account.accessToken
    $lines = @(& $FocusUp track --url $Url --session $id --seconds $Seconds)
    if ($LASTEXITCODE -ne 0) { throw "focusup track ended with status $LASTEXITCODE" }
    $messages = @($lines | ForEach-Object { ConvertFrom-Json $_ })
    $ticks = @($messages | Where-Object { $_.type -eq 'tick' }).Count
    if ($ticks -eq 0) { throw 'not a single tick' }
    Write-Pass $step "$ticks ticks"

    $step = 'stop'
    $stopped = $messages[-1]
    if ($stopped.type -ne 'stopped') { throw "the last message is $($stopped.type)" }
    Write-Pass $step "score $($stopped.focusScore)"

    $step = 'read score'
    $read = Invoke-RestMethod -Method GET -Uri "$Url/api/sessions/$id" -Headers $headers
    $score = $read.session.focusScore
    if ($score -ne $stopped.focusScore) { throw "$score is stored, $($stopped.focusScore) was told" }
    Write-Pass $step "score $score"

    $step = 'statistics'
    $body = @{ sessionsPerDay = 1 } | ConvertTo-Json
    $null = Invoke-RestMethod -Method PUT -Uri "$Url/api/goals" -Headers $headers -Body $body -ContentType 'application/json'
    $stats = (Invoke-RestMethod -Method GET -Uri "$Url/api/stats/me" -Headers $headers).stats
    if ($stats.currentStreak -ne 1) { throw "a streak of $($stats.currentStreak) days instead of 1" }
    if (-not $stats.today.sessions.reached) { throw 'the goal of today is not reached' }
    Write-Pass $step "a streak of $($stats.currentStreak) day"

    $step = 'delete'
    $null = Invoke-RestMethod -Method DELETE -Uri "$Url/api/sessions/$id" -Headers $headers
    $status = 200
    try {
        $null = Invoke-RestMethod -Method GET -Uri "$Url/api/sessions/$id" -Headers $headers
    }
    catch {
        # Windows PowerShell and PowerShell 7 throw different exceptions, both with this.
        $status = [int]$_.Exception.Response.StatusCode
    }
    if ($status -ne 404) { throw "a deleted session answers $status instead of 404" }
    Write-Pass $step '204, then 404'
}
catch {
    $reason = "$($_.Exception.Message) $($_.ErrorDetails)"
    Write-Host ('FAIL  {0,-12} {1}' -f $step, $reason.Trim())
    exit 1
}
finally {
    $env:FOCUSUP_TOKEN = $null
}
