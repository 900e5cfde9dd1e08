-- What a person does in Neovim, for the test beside this file: opens a manifest, reads what is wrong, asks about a
-- name, chooses the quick fix from the list, and closes the file. Writes what was seen as JSON.
-- Works from Neovim 0.7 on, which Debian 12 has.
local seen = { selected = {} }
local patience = 20000

local function finish(problem)
  seen.problem = problem
  local out = assert(io.open(vim.env.SEEN, 'w'))
  out:write(vim.fn.json_encode(seen))
  out:close()
  vim.cmd('qall!')
end

local function run()
  vim.o.swapfile = false
  vim.cmd('edit ' .. vim.fn.fnameescape(vim.env.MANIFEST))
  vim.bo.filetype = 'yaml'
  local buffer = vim.api.nvim_get_current_buf()
  local client = vim.lsp.start_client({
    name = 'coalmine',
    cmd = { vim.env.COALMINE, 'lsp' },
    root_dir = vim.env.FOLDER,
  })
  vim.lsp.buf_attach_client(buffer, client)

  local function diagnostics()
    return vim.diagnostic.get(buffer)
  end
  if not vim.wait(patience, function() return #diagnostics() > 0 end, 20) then
    return 'no diagnostics came'
  end
  seen.diagnostics = {}
  for _, found in ipairs(diagnostics()) do
    table.insert(seen.diagnostics, {
      line = found.lnum, column = found.col, last = found.end_col,
      severity = found.severity, source = found.source, message = found.message,
      code = found.user_data.lsp.code,
    })
  end

  local found = diagnostics()[1]
  vim.api.nvim_win_set_cursor(0, { found.lnum + 1, found.col })
  local place = vim.lsp.util.make_position_params()
  local answers = vim.lsp.buf_request_sync(buffer, 'textDocument/hover', place, patience)
  seen.hover = answers and answers[client] and answers[client].result.contents.value

  -- The list of actions as Neovim shows it; the one that the test names is chosen.
  vim.ui.select = function(items, options, choose)
    for _, item in ipairs(items) do
      local title = options.format_item(item)
      table.insert(seen.selected, title)
      if title:find(vim.env.CHOOSE, 1, true) then
        return choose(item)
      end
    end
    choose(nil)
  end
  vim.lsp.buf.code_action()
  local before = vim.api.nvim_buf_get_changedtick(buffer)
  if not vim.wait(patience, function() return vim.api.nvim_buf_get_changedtick(buffer) > before end, 20) then
    return 'the quick fix changed nothing'
  end
  seen.text = table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, true), '\n') .. '\n'
  if not vim.wait(patience, function() return #diagnostics() == 0 end, 20) then
    return 'the finding is still there after the fix'
  end

  vim.cmd('undo')
  if not vim.wait(patience, function() return #diagnostics() > 0 end, 20) then
    return 'undoing the fix brought no finding back'
  end
  -- Deleted on disk and closed without saving: nothing of it may stay.
  os.remove(vim.env.MANIFEST)
  vim.lsp.buf_detach_client(buffer, client)
  vim.lsp.get_client_by_id(client).notify('textDocument/didClose', {
    textDocument = { uri = vim.uri_from_fname(vim.env.MANIFEST) },
  })
  if not vim.wait(patience, function() return #diagnostics() == 0 end, 20) then
    return 'findings stayed when the file was gone'
  end
  seen.cleared = true
end

local ok, problem = pcall(run)
finish(problem)
